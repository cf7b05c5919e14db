//! Lists of addresses that are fetched, from a server that misbehaves: what is good is taken, what
//! is not leaves the last good list where it is.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "scripted/mod.rs"]
mod scripted;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use flowsentry::detect::Entries;
use flowsentry::detect::blacklist::{Config, FeedSettings};
use flowsentry::feeds::{self, FeedState, Feeds, Trust};
use flowsentry::model::{Secret, Timestamp};
use flowsentry::testkit::ip;
use scripted::{Reply, Rule, Scripted, on};
use tempfile::TempDir;

fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn feed(name: &str, url: &str) -> FeedSettings {
    FeedSettings {
        name: name.to_owned(),
        url: Some(Secret::new(url)),
        path: None,
        max_bytes: 100_000,
        min_entries: 1,
    }
}

/// Feeds with a folder of their own; one second is all that a fetch may take.
struct Site {
    folder: TempDir,
    settings: Config,
}

impl Site {
    fn new(feeds: Vec<FeedSettings>) -> Self {
        let settings = Config { feeds, timeout_seconds: 1, ..Config::default() };
        Self { folder: tempfile::tempdir().unwrap(), settings }
    }

    /// One feed `x` at `/list` of `server`.
    fn at(server: &Scripted) -> Self {
        Self::new(vec![feed("x", &format!("{}/list", server.url()))])
    }

    fn refresh_as(&self, trust: Trust) -> Vec<FeedState> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // As after a restart: what is known lies in the folder.
        let mut feeds = Feeds::new(&self.settings, self.folder.path());
        runtime.block_on(feeds.refresh(noon, trust, |_| true));
        feeds.states().to_vec()
    }

    fn refresh(&self) -> FeedState {
        self.refresh_as(Trust::Compare).remove(0)
    }

    fn lists(&self, address: &str) -> String {
        let list = feeds::merged(&self.settings, self.folder.path(), &Entries::default());
        let names = list.lists_of(ip(address)).into_iter().map(|list| list.name.as_str());
        names.collect::<Vec<_>>().join(" ")
    }
}

fn text(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply::raw(status, "text/plain", body)
}

/// A list of so many addresses from 198.51.0.0 on, one a line.
fn lines(count: u32) -> String {
    (0..count).map(|n| format!("{}\n", Ipv4Addr::from(0xc633_0000 + n))).collect()
}

fn server(rules: impl IntoIterator<Item = Rule>) -> Scripted {
    Scripted::with(rules)
}

#[test]
fn both_forms_are_read_and_merged_and_lists_are_named() {
    let server = server([
        on("GET", "/plain").reply(text(200, "# head\n104.197.185.83\n198.51.100.0/24\n")),
        on("GET", "/one-line").reply(text(200, "104.197.185.83,203.0.113.7").chunked()),
        on("GET", "/reputation")
            .reply(text(200, "203.0.113.7#4#2#Malicious Host#US#City#1.0,2.0#3")),
    ]);
    let paths = ["plain", "one-line", "reputation"];
    let site = Site::new(paths.map(|path| feed(path, &format!("{}/{path}", server.url()))).into());
    let states = site.refresh_as(Trust::Compare);
    assert_eq!(states.iter().map(|state| state.entries).collect::<Vec<_>>(), [2, 2, 1]);
    assert!(states.iter().all(|state| state.fetched == Some(noon()) && state.error.is_none()));
    assert_eq!(site.lists("104.197.185.83"), "plain one-line");
    assert_eq!(site.lists("198.51.100.9"), "plain");
    assert_eq!(site.lists("203.0.113.7"), "one-line reputation");
    assert_eq!(site.lists("192.168.1.1") + &site.lists("46.148.20.25"), "");
}

#[test]
fn whatever_goes_wrong_is_told_and_the_last_good_list_stays() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&b"203.0.113.9\n".repeat(1 << 20)).unwrap();
    let bomb = text(200, bomb.finish().unwrap()).header("Content-Encoding", "gzip");
    let long = lines(20_000);
    for (reply, problem) in [
        (text(404, "203.0.113.9\n"), "status 404"),
        (text(500, "203.0.113.9\n"), "status 500"),
        (text(206, "203.0.113.9\n"), "status 206"),
        (text(304, ""), ""),
        (text(200, ""), "0 entries"),
        (Reply::html(200), "are no addresses"),
        (text(200, "\u{0}\u{1}\u{2}\n".repeat(50)), "are no addresses"),
        (text(200, long.clone()), "more than 100000 bytes"),
        (text(200, long.clone()).chunked(), "more than 100000 bytes"),
        (bomb, "more than 100000 bytes"),
        (text(200, lines(400)).cut_after(2_000), "cannot be fetched"),
        (text(200, "203.0.113.9\n"), "the last good one has 300"),
        (Reply::close(), "cannot be fetched"),
        (Reply::hang(), "longer than 1 s"),
        (text(302, "").header("Location", "/list"), "too many redirects"),
        (text(302, "").header("Location", "file:///etc/hosts"), "status 302"),
        (text(302, "").header("Location", "gopher://127.0.0.1/"), "a redirect leaves HTTP"),
        (text(302, ""), "status 302"),
    ] {
        let good = text(200, lines(300)).header("ETag", "\"1\"");
        let server = server([on("GET", "/list").reply(good).reply(reply.clone())]);
        let site = Site::at(&server);
        assert_eq!(site.refresh().entries, 300);
        let state = site.refresh();
        let error = state.error.clone().unwrap_or_default();
        assert!(error.contains(problem), "{error} for {reply:?}");
        assert_eq!(error.is_empty(), problem.is_empty(), "{error} for {reply:?}");
        assert_eq!(state.failures, u32::from(!problem.is_empty()));
        assert_eq!((state.entries, state.fetched), (300, Some(noon())), "{reply:?}");
        assert_eq!(site.lists("198.51.0.7"), "x", "{reply:?}");
        assert_eq!(site.lists("203.0.113.9"), "", "{reply:?}");
        // Nothing half written is left.
        assert_eq!(fs::read_dir(site.folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_first_list_that_is_bad_leaves_nothing() {
    let server = server([on("GET", "/list").reply(Reply::html(200))]);
    let site = Site::at(&server);
    let state = site.refresh();
    assert_eq!((state.entries, state.fetched, state.failures), (0, None, 1));
    let never = Scripted::with([on("GET", "/list").reply(text(304, ""))]);
    assert_eq!(Site::at(&never).refresh().error.unwrap(), "the server answered with status 304");
}

#[test]
fn an_unchanged_list_is_asked_for_by_its_marks_and_becomes_young() {
    let good = text(200, lines(3)).header("ETag", "\"7\"").header("Last-Modified", "yesterday");
    let server = server([on("GET", "/list").reply(good).reply(text(304, ""))]);
    let site = Site::at(&server);
    site.refresh();
    let path = site.folder.path().join("x.txt");
    let older = fs::read_to_string(&path).unwrap().replace("2026-11-22T12", "2026-11-20T12");
    fs::write(&path, older).unwrap();
    assert_eq!(site.refresh().fetched, Some(noon()));
    let asked = server.requests();
    assert_eq!(asked[0].header("if-none-match"), None);
    assert!(asked[0].header("user-agent").unwrap().starts_with("flowsentry/"));
    assert_eq!(asked[1].header("if-none-match"), Some("\"7\""));
    assert_eq!(asked[1].header("if-modified-since"), Some("yesterday"));
    assert_eq!(site.lists("198.51.0.1"), "x");
}

#[test]
fn a_person_may_take_a_short_list_and_another_address_begins_anew() {
    let long = text(200, lines(300));
    let rules = [
        on("GET", "/list").reply(long).reply(text(200, lines(2))),
        on("GET", "/other").reply(text(200, lines(1))),
    ];
    let server = server(rules);
    let mut site = Site::at(&server);
    site.refresh();
    assert!(site.refresh().error.is_some());
    assert_eq!(site.refresh_as(Trust::Anew)[0].entries, 2);
    let list = fs::read(site.folder.path().join("x.txt")).unwrap();
    assert!(list.starts_with(b"# {") && list.ends_with(b"198.51.0.0\n198.51.0.1\n"));
    site.settings.feeds[0].url = Some(Secret::new(format!("{}/other", server.url())));
    assert_eq!(site.refresh().entries, 1);
}

#[test]
fn redirects_are_followed_without_telling_keys() {
    let server = server([
        on("GET", "/list").reply(text(301, "").header("Location", "/moved")),
        on("GET", "/moved").reply(text(404, "")),
    ]);
    let url = server.url().replace("http://", "http://anna:hunter2@");
    let site = Site::new(vec![feed("x", &format!("{url}/list?key=hunter3"))]);
    let state = site.refresh();
    assert_eq!(state.error.as_deref(), Some("the server answered with status 404"));
    let moved = &server.requests_to("GET", "/moved")[0];
    assert_eq!(moved.header("referer"), None);
    let gone = url.rsplit_once(':').map(|(host, _)| format!("{host}:1/list?key=hunter3")).unwrap();
    let error = Site::new(vec![feed("x", &gone)]).refresh().error.unwrap();
    assert!(error.contains("cannot be fetched") && !error.contains("hunter"), "{error}");
}

#[test]
fn files_are_feeds_too_and_what_is_none_is_refused() {
    let files = tempfile::tempdir().unwrap();
    let list = files.path().join("list");
    fs::write(&list, "198.51.100.7\n").unwrap();
    let of = |path: &std::path::Path| {
        let path = Some(path.to_owned());
        Site::new(vec![FeedSettings { url: None, path, max_bytes: 20, ..feed("x", "") }])
    };
    let site = of(&list);
    assert_eq!(site.refresh().entries, 1);
    fs::write(&list, lines(3)).unwrap();
    assert!(site.refresh().error.unwrap().contains("more than 20 bytes"));
    fs::remove_file(&list).unwrap();
    assert!(site.refresh().error.unwrap().contains("its file cannot be read"));
    assert_eq!(site.lists("198.51.100.7"), "x");
    assert!(of(files.path()).refresh().error.unwrap().contains("it is no plain file"));
}

#[test]
fn a_damaged_list_on_the_disk_counts_as_none() {
    let list = |request: &scripted::Request| match request.header("if-none-match") {
        None => text(200, lines(300)).header("ETag", "\"1\""),
        Some(_) => text(304, ""),
    };
    let server = server([on("GET", "/list").with(list)]);
    let site = Site::at(&server);
    let path = site.folder.path().join("x.txt");
    for damage in ["", "# {}\n1.2.3.4\n", "1.2.3.4\n", "\u{fffd}"] {
        fs::write(&path, damage).unwrap();
        assert_eq!(site.lists("1.2.3.4"), "");
        assert_eq!(site.refresh().entries, 300);
    }
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(site.lists("198.51.0.1"), "");
    assert_eq!((site.refresh().entries, site.refresh().failures), (300, 0));
    assert_eq!(site.lists("198.51.0.1"), "x");
}

#[test]
fn a_disk_that_takes_nothing_is_told() {
    let server = server([on("GET", "/list").reply(text(200, lines(3)))]);
    let mut site = Site::at(&server);
    // A file where the folder should be.
    let file = site.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    site.settings.timeout_seconds = 10;
    let mut feeds = Feeds::new(&site.settings, &file);
    runtime.block_on(feeds.refresh(noon, Trust::Compare, |_| true));
    let error = feeds.states()[0].error.clone().unwrap();
    assert!(error.contains("cannot be kept in `path.data`"), "{error}");
}

#[test]
fn addresses_are_checked_with_the_settings() {
    let problem = |url: &str| {
        let settings = Config { feeds: vec![feed("x", url)], ..Config::default() };
        feeds::check(&settings).map_err(|error| error.to_string())
    };
    assert_eq!(problem("https://example.org/list?key=hunter2"), Ok(()));
    for url in ["file:///etc/passwd", "ftp://example.org/hunter2"] {
        assert_eq!(
            problem(url).unwrap_err(),
            "setting `detectors.blacklist.feeds.0.url` must begin with `http://` or `https://`"
        );
    }
    assert!(!problem("hunter2 x").unwrap_err().contains("hunter2"));
}

/// A server with a certificate of its own making for `localhost`, by the command `openssl`; it
/// offers `/list`.
struct Secure {
    folder: TempDir,
    process: Child,
    port: String,
}

impl Drop for Secure {
    fn drop(&mut self) {
        // It never ends by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Secure {
    /// `None`, said aloud, without the command.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |words: &str| {
            let mut command = Command::new("openssl");
            command.args(words.split(' ')).current_dir(folder.path());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            command
        };
        let mut made = openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=own \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
             -keyout key.pem -out cert.pem",
        );
        let Ok(status) = made.status() else {
            println!("skipped: certificates need the command `openssl`");
            return None;
        };
        assert!(status.success());
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n203.0.113.9\n";
        fs::write(folder.path().join("list"), answer).unwrap();
        let serve = "s_server -HTTP -accept 127.0.0.1:0 -cert cert.pem -key key.pem";
        let mut process = openssl(serve).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned));
        // Goes on reading, or the server would stop at a full pipe.
        std::thread::spawn(move || lines.count());
        let port = ready.unwrap().rsplit(':').next().unwrap().to_owned();
        Some(Self { folder, process, port })
    }
}

#[test]
fn certificates_are_checked_and_own_authorities_are_trusted_when_named() {
    let Some(server) = Secure::start() else { return };
    let mut site = Site::new(vec![feed("x", &format!("https://localhost:{}/list", server.port))]);
    site.settings.timeout_seconds = 20;
    let error = site.refresh().error.unwrap();
    assert!(error.contains("certificate"), "{error}");
    site.settings.ssl.certificate_authorities = vec![server.folder.path().join("cert.pem")];
    assert_eq!(site.refresh().error, None);
    assert_eq!(site.lists("203.0.113.9"), "x");
    // The certificate is for `localhost` alone.
    let elsewhere = format!("https://127.0.0.1:{}/list", server.port);
    site.settings.feeds[0].url = Some(Secret::new(elsewhere));
    let error = site.refresh().error.unwrap();
    assert!(error.contains("not valid for name"), "{error}");
}

fn flowsentry(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowsentry"));
    command.current_dir(folder.path()).args(arguments).stdin(Stdio::null());
    command.output().expect("the program starts")
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

#[test]
fn commands_refresh_show_and_score_by_feeds() {
    const ROW: &str =
        "2017-01-27 16:24:42,tcp,closed,10.2.1.39,60707,104.197.185.83,443,21687,8999\n";
    let server = server([on("GET", "/list").reply(text(200, "104.197.185.83\n"))]);
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "detectors:\n  blacklist:\n    feeds: [{{name: seen, url: '{}/list'}}, {{name: gone, path: /nowhere}}]\n",
        server.url()
    );
    fs::write(folder.path().join("flowsentry.yml"), settings).unwrap();
    fs::write(folder.path().join("flows.csv"), ROW).unwrap();
    let run = |words: &str| {
        let arguments: Vec<_> =
            ["-c", "flowsentry.yml"].into_iter().chain(words.split(' ')).collect();
        flowsentry(&folder, &arguments)
    };
    let refreshed = run("blacklist refresh");
    assert_eq!(refreshed.status.code(), Some(1));
    let (out, told) = (words(&refreshed.stdout), words(&refreshed.stderr));
    assert!(
        out.contains("seen: 1 entries, fetched 20") && out.contains("gone: no list yet; "),
        "{out}"
    );
    assert!(told.contains("Exiting: 1 of 2 feeds cannot be refreshed"), "{told}");
    assert!(run("blacklist refresh seen").status.success());
    let shown = words(&run("blacklist show 104.197.185.83").stdout);
    assert!(shown.starts_with("104.197.185.83 is listed by seen, fetched 20"), "{shown}");
    assert_eq!(run("blacklist show 192.168.1.1").status.code(), Some(1));
    let shown = words(&run("blacklist show").stdout);
    assert!(shown.contains("together: 1 entries"), "{shown}");
    let scored = words(&run("score flows.csv --only anomalies").stdout);
    assert!(scored.contains("is listed by seen (fetched later) and had contact"), "{scored}");
}
