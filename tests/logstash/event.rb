# A stand-in for what a ruby filter of Logstash sees: events, timestamps, and the plugin that calls the code.
# It does what the real ones do as far as our filter goes, and refuses what the real ones refuse.
require "json"
require "time"

module LogStash
  # A moment, exact to the nanosecond.
  class Timestamp
    attr_reader :time

    def self.at(seconds, microseconds = 0)
      new(Time.at(seconds, microseconds).utc)
    end

    def initialize(time)
      @time = time
    end

    def to_json(*)
      @time.strftime(@time.nsec % 1_000_000 == 0 ? '"%Y-%m-%dT%H:%M:%S.%LZ"' : '"%Y-%m-%dT%H:%M:%S.%NZ"')
    end
  end

  # Fields by reference (`name` or `[a][b]`), metadata apart.
  class Event
    def initialize(data, metadata)
      @data = data
      @metadata = metadata
      @cancelled = false
    end

    def get(reference)
      dig(path(reference))
    end

    def set(reference, value)
      raise TypeError, "#{value.class} in #{reference}" unless plain?(value)
      *outer, last = path(reference)
      raise ArgumentError, "metadata is not set here: #{reference}" if outer.first == "@metadata"
      object = outer.inject(@data) do |inner, name|
        raise ArgumentError, "no object at `#{name}`: #{reference}" unless inner.is_a?(Hash)
        inner[name] ||= {}
      end
      object[last] = value
    end

    def remove(reference)
      names = path(reference)
      @data.delete(names.first) if names.length == 1
    end

    def to_hash
      copy(@data)
    end

    def tag(name)
      @data["tags"] = (Array(@data["tags"]) | [name])
    end

    def cancel
      @cancelled = true
    end

    def cancelled?
      @cancelled
    end

    private

    def copy(value)
      case value
      when Hash then value.transform_values { |inner| copy(inner) }
      when Array then value.map { |inner| copy(inner) }
      else value
      end
    end

    def dig(names)
      names.first == "@metadata" ? @metadata.dig(*names.drop(1)) : @data.dig(*names)
    end

    def path(reference)
      raise ArgumentError, "Invalid FieldReference: `#{reference}`" if reference.empty?
      return [reference] unless reference.match?(/[\[\]]/)
      raise ArgumentError, "Invalid FieldReference: `#{reference}`" unless reference.match?(/\A(?:\[[^\[\]]+\])+\z/)
      reference.scan(/\[([^\[\]]+)\]/).flatten
    end

    # What the real event converts without loss.
    def plain?(value)
      case value
      when Hash then value.all? { |key, inner| key.is_a?(String) && plain?(inner) }
      when Array then value.all? { |inner| plain?(inner) }
      when String then value.encoding == Encoding::UTF_8 || value.ascii_only?
      when Integer then value.between?(-(1 << 63), (1 << 63) - 1)
      when Float then value.finite?
      when true, false, Timestamp then true
      else false
      end
    end
  end
end

# The ruby filter plugin: evaluates `init` and `code` in the scope of its own method, which has a variable `e`.
class RubyFilter
  attr_reader :failures

  def initialize(configuration)
    @init = option(configuration, "init")
    @code = option(configuration, "code")
    @failures = []
    register
  end

  def filter(event)
    @codeblock.call(event)
  rescue Exception => e # as the plugin does
    @failures << "#{e.class}: #{e.message}"
    event.tag("flowsentry_map_failed")
  end

  private

  def option(configuration, name)
    configuration[/^\s*#{name} => '(.*?)'/m, 1] or raise "no `#{name}` in the configuration"
  end

  def register
    eval(@init, binding, "(ruby filter init)")
    eval("@codeblock = lambda { |event, &new_event_block| #{@code} }", binding, "(ruby filter code)")
  rescue ScriptError => e
    abort("the ruby filter does not load: #{e.message}")
  end
end

# What the json codec makes of one message: events as plain data.
def decode_json(message)
  return [] if message.strip.empty?
  decoded = JSON.parse(message)
  records = decoded.is_a?(Array) ? decoded : [decoded]
  raise JSON::ParserError, "no object" unless records.all?(Hash)
  records
rescue JSON::ParserError
  [{ "message" => message, "tags" => ["_jsonparsefailure"] }]
end
