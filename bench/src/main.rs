//! Measures nullmailer, and the original beside it in the same run. Prints Markdown; see
//! docs/benchmarks.md, which is made of it.
//!
//! ```text
//! nullmailer-bench BINARY ORIGINAL_ROOT [inject|drain|bulk|large|idle]...
//! ```

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures from outside")]

mod house;
mod sink;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use house::{House, Peer};
use sink::{Knobs, Sink};

struct Bench {
    work: PathBuf,
    /// Ours first.
    peers: Vec<Peer>,
    tls: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: nullmailer-bench BINARY ORIGINAL_ROOT [PART]...";
    let binary = fs::canonicalize(arguments.next().expect(usage)).expect("BINARY");
    let root = fs::canonicalize(arguments.next().expect(usage)).expect("ORIGINAL_ROOT");
    let mut parts: Vec<String> = arguments.collect();
    if parts.is_empty() {
        parts = ["inject", "drain", "bulk", "large", "idle"].map(str::to_owned).to_vec();
    }
    let work = std::env::temp_dir().join(format!("nullmailer-bench.{}", std::process::id()));
    fs::create_dir_all(&work).unwrap();
    let (tls, certificate) = certificates(&work);
    let peers = vec![Peer::ours(&binary), Peer::original(&root)];
    let bench = Bench { work, peers, tls, certificate };
    for part in parts {
        match part.as_str() {
            "inject" => bench.inject(),
            "drain" => bench.drain(),
            "bulk" => bench.bulk(),
            "large" => bench.large(),
            "idle" => bench.idle(),
            _ => panic!("{usage}"),
        }
        println!();
    }
    fs::remove_dir_all(&bench.work).unwrap();
}

fn certificates(work: &Path) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    fs::write(work.join("ca.pem"), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.der().clone())
}

/// Least, middle and most.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    format!("{:.digits$} / {middle:.digits$} / {:.digits$}", values[0], values[values.len() - 1])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Bench {
    fn house<'a>(&self, peer: &'a Peer, remote: &str) -> House<'a> {
        House::new(&self.work.join("house"), peer, remote)
    }

    fn remote(&self, sink: &Sink, starttls: bool, options: &str) -> String {
        let tls = format!("starttls x509cafile={}", self.work.join("ca.pem").display());
        format!("127.0.0.1 smtp port={} {} {options}", sink.port, if starttls { &tls } else { "" })
    }

    fn inject(&self) {
        println!("| 2 KB message | ms each, 5 runs of 200 | instructions |\n|---|---|---|");
        let text = house::message(2048);
        let mut times = vec![Vec::new(); self.peers.len()];
        for _ in 0..5 {
            for (peer, times) in self.peers.iter().zip(&mut times) {
                let house = self.house(peer, "127.0.0.1");
                let begun = Instant::now();
                for _ in 0..200 {
                    feed(&mut house.inject(), &text);
                }
                times.push(ms(begun.elapsed()) / 200.0);
            }
        }
        for (peer, times) in self.peers.iter().zip(times) {
            println!(
                "| {} | {} | {} |",
                peer.name,
                spread(times, 2),
                self.instructions(peer, &text)
            );
        }
    }

    /// User-space instructions of one injection, all programs that it runs included.
    fn instructions(&self, peer: &Peer, text: &[u8]) -> String {
        let house = self.house(peer, "127.0.0.1");
        let plain = house.inject();
        let mut command = Command::new("valgrind");
        command.args([
            "--tool=callgrind",
            "--trace-children=yes",
            "--callgrind-out-file=/dev/null",
        ]);
        // Not on stderr, which a child may have closed.
        command.arg(format!("--log-file={}/callgrind.%p", house.root.display()));
        // Valgrind would hide the name that we are called by.
        let program = self.work.join("nullmailer-inject");
        let _ = fs::remove_file(&program);
        std::os::unix::fs::symlink(plain.get_program(), &program).unwrap();
        command.arg(&program).args(plain.get_args());
        command.env("NULLMAILER_TEST_PREFIX", &house.root).env("USER", "bench");
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("valgrind");
        child.stdin.take().unwrap().write_all(text).unwrap();
        assert!(child.wait().unwrap().success());
        let logs = fs::read_dir(&house.root).unwrap().flatten();
        let logs =
            logs.filter(|entry| entry.file_name().to_string_lossy().starts_with("callgrind."));
        let counts: Vec<u64> = logs
            .filter_map(|entry| {
                let log = fs::read_to_string(entry.path()).unwrap();
                log.split_once("Collected : ")?.1.lines().next()?.trim().parse().ok()
            })
            .collect();
        format!("{} in {} program(s)", counts.iter().sum::<u64>(), counts.len())
    }

    fn drain(&self) {
        println!(
            "| sink | peer | connections= | s from start, 500 messages of 2 KB | round trips per message | sessions |"
        );
        println!("|---|---|---|---|---|---|");
        for (starttls, delay, chunking, one) in [
            (false, 0, false, false),
            (true, 0, false, false),
            (true, 0, true, false),
            (true, 0, false, true),
            (true, 0, true, true),
            (false, 20, false, false),
            (true, 20, false, false),
            (true, 20, true, false),
            (true, 20, false, true),
            (true, 20, true, true),
        ] {
            let mut rows = vec![(Vec::new(), Vec::new(), Vec::new()); self.peers.len()];
            // The original knows neither CHUNKING nor a choice of connections.
            let peers = if chunking || one { &self.peers[..1] } else { &self.peers[..] };
            for _ in 0..5 {
                for (peer, row) in peers.iter().zip(&mut rows) {
                    // Its time goes up with each message alone: fewer of them say the same.
                    let count = if peer.sbin.is_some() && delay > 0 { 50 } else { 500 };
                    let delay = Duration::from_millis(delay);
                    let sink = Sink::start(Knobs { starttls, chunking, delay }, self.tls.clone());
                    let house = self.house(
                        peer,
                        &self.remote(&sink, starttls, if one { "connections=1" } else { "" }),
                    );
                    house.fill(count, 2048);
                    let begun = Instant::now();
                    let daemon = house.send();
                    let end = sink.wait(count);
                    let Some(end) = end else {
                        eprintln!("{}", fs::read_to_string(house.root.join("log")).unwrap());
                        panic!("{}: only {} came", peer.name, sink.taken());
                    };
                    drop(daemon);
                    let turns = sink.counts.turns.load(std::sync::atomic::Ordering::SeqCst);
                    let sessions =
                        sink.counts.connections.load(std::sync::atomic::Ordering::SeqCst);
                    row.0.push((end - begun).as_secs_f64() * 500.0 / count as f64);
                    row.1.push(turns as f64 / count as f64);
                    row.2.push(sessions as f64 * 500.0 / count as f64);
                }
            }
            for (peer, (times, turns, sessions)) in peers.iter().zip(rows) {
                println!(
                    "| {} {delay} ms, PIPELINING{} | {} | {} | {} | {} | {} |",
                    if starttls { "STARTTLS" } else { "plain" },
                    if chunking { "+CHUNKING" } else { "" },
                    peer.name,
                    if one { "1" } else { "default" },
                    spread(times, 2),
                    spread(turns, 2),
                    spread(sessions, 0),
                );
            }
        }
    }

    /// One message of 100 MB over TLS, and the same bytes by nothing but rustls.
    fn bulk(&self) {
        const SIZE: usize = 100_000_000;
        println!("| 100 MB over TLS | MB/s, 5 runs | of the plain copy |\n|---|---|---|");
        let text = house::message(SIZE);
        let file = self.work.join("bulk");
        fs::write(&file, &text).unwrap();
        let mut copies = Vec::new();
        let mut sent: Vec<Vec<f64>> = vec![Vec::new(); 2];
        for _ in 0..5 {
            copies.push(self.copy(&file));
            for (row, peer) in self.peers.iter().enumerate() {
                let knobs = Knobs { starttls: true, chunking: false, delay: Duration::ZERO };
                let sink = Sink::start(knobs, self.tls.clone());
                let house = self.house(peer, &self.remote(&sink, true, ""));
                house.fill(1, SIZE);
                let daemon = house.send();
                sink.wait(1).expect("it arrives");
                drop(daemon);
                sent[row].push(SIZE as f64 / 1e6 / sink.last_took().unwrap().as_secs_f64());
            }
        }
        let middle = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let whole = middle(&copies);
        println!("| plain copy by rustls | {} | 100 % |", spread(copies, 0));
        let names = ["ours", "nullmailer 2.2"];
        for (name, values) in names.iter().zip(sent) {
            let share = 100.0 * middle(&values) / whole;
            println!("| {name} | {} | {share:.0} % |", spread(values, 0));
        }
    }

    fn copy(&self, file: &Path) -> f64 {
        let (port, server) = sink::copy_server(self.tls.clone());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut tls = StreamOwned::new(connection, tcp);
        let mut file = fs::File::open(file).unwrap();
        let (mut bytes, mut total) = (vec![0; 64 * 1024], 0);
        loop {
            let read = file.read(&mut bytes).unwrap();
            if read == 0 {
                break;
            }
            tls.write_all(&bytes[..read]).unwrap();
            total += read;
        }
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        while tls.read(&mut bytes).is_ok_and(|read| read > 0) {}
        total as f64 / 1e6 / server.join().unwrap().as_secs_f64()
    }

    fn large(&self) {
        println!(
            "| 100,000 queued messages of 2 KB | {} |",
            self.peers.iter().map(|peer| peer.name).collect::<Vec<_>>().join(" | ")
        );
        println!("|---|{}", "---|".repeat(self.peers.len()));
        let mut rows: [Vec<String>; 6] = Default::default();
        for peer in &self.peers {
            let sink = Sink::start(Knobs::default(), self.tls.clone());
            let house = self.house(peer, &self.remote(&sink, false, ""));
            house.fill(100_000, 2048);
            let mut listing = Vec::new();
            for _ in 0..3 {
                let begun = Instant::now();
                house.mailq().status().unwrap();
                listing.push(begun.elapsed().as_secs_f64());
            }
            rows[0].push(spread(listing, 2));
            let (mut first, mut memory) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                let (before, begun) = (sink.taken(), Instant::now());
                let daemon = house.send();
                let at = sink.wait(before + 1).expect("it arrives");
                first.push((at - begun).as_secs_f64());
                sink.wait(before + 501);
                memory.push(daemon.memory("status", "VmHWM:") as f64 / 1000.0);
            }
            rows[1].push(spread(first, 3));
            rows[2].push(spread(memory.clone(), 1));
            if peer.sbin.is_none() {
                house.journals();
                let mut first = Vec::new();
                for _ in 0..3 {
                    let (before, begun) = (sink.taken(), Instant::now());
                    let daemon = house.send();
                    let at = sink.wait(before + 1).expect("it arrives");
                    first.push((at - begun).as_secs_f64());
                    memory.push(daemon.memory("status", "VmHWM:") as f64 / 1000.0);
                }
                rows[5].push(format!("{}, {:.1} MB", spread(first, 3), memory[memory.len() - 1]));
            } else {
                rows[5].push("–".into());
            }
            // Nothing can be delivered: what a new message costs is its own.
            house.control("remotes", "127.0.0.1 smtp port=1");
            let daemon = house.send();
            std::thread::sleep(Duration::from_secs(3));
            let text = house::message(2048);
            if peer.sbin.is_none() {
                let mut arrival = Vec::new();
                for _ in 0..5 {
                    let before = daemon.cpu();
                    for _ in 0..40 {
                        feed(&mut house.inject(), &text);
                    }
                    std::thread::sleep(Duration::from_millis(500));
                    arrival.push((daemon.cpu() - before) / 40.0);
                }
                rows[3].push(spread(arrival, 3));
            } else {
                rows[3].push("–".into());
            }
            rows[4].push(format!("{:.1}", daemon.memory("status", "VmRSS:") as f64 / 1000.0));
        }
        for (what, row) in [
            "mailq, s (3 runs)",
            "start to first delivery, s (5 runs)",
            "memory of the daemon at its most, 500 deliveries later, MB RSS",
            "CPU of the daemon for one more arrival, ms (5 runs of 40)",
            "memory while no remote can be reached, MB RSS",
            "start to first delivery where each was tried before, s (3 runs), and memory",
        ]
        .iter()
        .zip(rows)
        {
            println!("| {what} | {} |", row.join(" | "));
        }
    }

    fn idle(&self) {
        println!("| idle daemon | RSS kB | PSS kB |\n|---|---|---|");
        for peer in &self.peers {
            let (mut resident, mut share) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                let house = self.house(peer, "127.0.0.1 smtp port=1");
                let daemon = house.send();
                std::thread::sleep(Duration::from_millis(500));
                resident.push(daemon.memory("smaps_rollup", "Rss:") as f64);
                share.push(daemon.memory("smaps_rollup", "Pss:") as f64);
            }
            println!("| {} | {} | {} |", peer.name, spread(resident, 0), spread(share, 0));
        }
    }
}

fn feed(command: &mut Command, text: &[u8]) {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    assert!(child.wait().unwrap().success());
}
