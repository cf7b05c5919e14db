# Runs the ruby filters of a pipeline over messages, outside of Logstash.
#
#   ruby run.rb CONFIGURATION[,CONFIGURATION…] [WORKERS] < MESSAGES > RESULTS     one JSON line each; a result is {documents, failures}
#   ruby run.rb CONFIGURATION bench SECONDS < MESSAGES           events per second of one core
#
# A message is {"message": TEXT, "topic", "partition", "offset", "timestamp"} as the Kafka input decorates it.
require_relative "event"

messages = $stdin.each_line.map { |line| JSON.parse(line) }

def events_of(message)
  position = message.slice("topic", "partition", "offset", "timestamp")
  metadata = position.empty? ? {} : { "kafka" => position }
  decode_json(message.fetch("message")).map do |record|
    arrived = { "@timestamp" => LogStash::Timestamp.new(Time.at(0).utc), "@version" => "1" }
    LogStash::Event.new(arrived.merge(record), metadata)
  end
end

# The ruby filters of all files, one after the other.
class Chain
  def initialize(paths)
    @filters = paths.map { |path| RubyFilter.new(File.read(path, encoding: "UTF-8")) }
  end

  def filter(event)
    @filters.each { |filter| filter.filter(event) unless event.cancelled? }
  end

  def failures
    @filters.flat_map(&:failures)
  end
end

filter = Chain.new(ARGV.fetch(0).split(","))

if ARGV[1] == "bench"
  finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + Float(ARGV.fetch(2))
  rounds = []
  while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
    events = messages.flat_map { |message| events_of(message) }
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    events.each { |event| filter.filter(event) }
    rounds << events.length / (Process.clock_gettime(Process::CLOCK_MONOTONIC) - start)
  end
  # The second half: a virtual machine must warm up.
  rounds = rounds.drop(rounds.length / 2).sort
  puts "#{RUBY_ENGINE} #{RUBY_ENGINE_VERSION}: #{rounds[rounds.length / 2].round} events/s (median of #{rounds.length} rounds)"
  exit
end

workers = Integer(ARGV.fetch(1, "1"))
batches = messages.map { |message| events_of(message) }
threads = workers.times.map do |worker|
  Thread.new do
    batches.each_with_index do |events, index|
      next unless index % workers == worker
      events.each { |event| filter.filter(event) }
      Thread.pass
    end
  end
end
threads.each(&:join)
batches.each do |events|
  puts JSON.generate(events.reject(&:cancelled?).map(&:to_hash))
end
filter.failures.each { |failure| warn failure }
exit(filter.failures.empty? ? 0 : 1)
