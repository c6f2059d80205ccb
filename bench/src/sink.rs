//! The server of the measurements: takes everything, throws it away, and counts.
//!
//! It answers all commands that have arrived at once, after one delay: a round trip. What it does
//! for a message is a search for its end, so that it is not what is measured.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[derive(Clone, Copy, Default)]
pub struct Knobs {
    pub starttls: bool,
    pub chunking: bool,
    pub delay: Duration,
}

#[derive(Default)]
pub struct Counts {
    pub connections: AtomicUsize,
    /// Answers that were sent behind EHLO, each for one or more commands.
    pub turns: AtomicUsize,
    /// When each message was taken.
    taken: Mutex<Vec<Instant>>,
    more: Condvar,
    /// From the first command of the last message to its end.
    last: Mutex<Option<Duration>>,
}

pub struct Sink {
    pub port: u16,
    pub counts: Arc<Counts>,
}

impl Sink {
    pub fn start(knobs: Knobs, tls: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("it is bound").port();
        let counts = Arc::new(Counts::default());
        let ours = counts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                ours.connections.fetch_add(1, SeqCst);
                let (counts, tls) = (ours.clone(), tls.clone());
                std::thread::spawn(move || {
                    let _ = serve(client, knobs, &tls, &counts);
                });
            }
        });
        Self { port, counts }
    }

    /// Waits until so many messages were taken; when the last of them was.
    pub fn wait(&self, count: usize) -> Option<Instant> {
        let taken = self.counts.taken.lock().unwrap();
        let (taken, _) = self
            .counts
            .more
            .wait_timeout_while(taken, Duration::from_secs(300), |taken| taken.len() < count)
            .unwrap();
        taken.get(count - 1).copied()
    }

    pub fn taken(&self) -> usize {
        self.counts.taken.lock().unwrap().len()
    }

    pub fn last_took(&self) -> Option<Duration> {
        *self.counts.last.lock().unwrap()
    }
}

enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Link {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(bytes),
            Self::Tls(tls) => tls.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }
}

fn serve(tcp: TcpStream, knobs: Knobs, tls: &Arc<ServerConfig>, counts: &Counts) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut link = Link::Plain(tcp);
    let mut buffer = Vec::new();
    let mut bytes = vec![0; 256 * 1024];
    let (mut secure, mut greeted, mut begun) = (false, false, Instant::now());
    let mut replies: Vec<u8> = b"220 sink ESMTP\r\n".to_vec();
    loop {
        if !replies.is_empty() {
            std::thread::sleep(knobs.delay);
            link.write(&replies)?;
            replies.clear();
            counts.turns.fetch_add(usize::from(greeted), SeqCst);
        }
        let read = link.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&bytes[..read]);
        while let Some(line) = next_line(&mut buffer) {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    replies.extend_from_slice(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n");
                    if knobs.chunking {
                        replies.extend_from_slice(b"250-CHUNKING\r\n");
                    }
                    if knobs.starttls && !secure {
                        replies.extend_from_slice(b"250-STARTTLS\r\n");
                    }
                    replies.extend_from_slice(b"250 SIZE 1000000000\r\n");
                }
                "STARTTLS" => {
                    let Link::Plain(mut tcp) = link else { return Ok(()) };
                    std::thread::sleep(knobs.delay);
                    tcp.write_all(b"220 go ahead\r\n")?;
                    let connection =
                        ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
                    link = Link::Tls(Box::new(StreamOwned::new(connection, tcp)));
                    secure = true;
                }
                "MAIL" => {
                    (greeted, begun) = (true, Instant::now());
                    replies.extend_from_slice(b"250 ok\r\n");
                }
                "DATA" => {
                    replies.extend_from_slice(b"354 go on\r\n");
                    std::thread::sleep(knobs.delay);
                    link.write(&replies)?;
                    replies.clear();
                    counts.turns.fetch_add(1, SeqCst);
                    until_dot(&mut link, &mut buffer, &mut bytes)?;
                    taken(counts, begun);
                    replies.extend_from_slice(b"250 taken\r\n");
                }
                "BDAT" => {
                    let size: usize =
                        line.split(' ').nth(1).and_then(|size| size.parse().ok()).unwrap_or(0);
                    let mut missing = size.saturating_sub(buffer.len());
                    buffer.drain(..size - missing);
                    while missing > 0 {
                        let read = link.read(&mut bytes)?;
                        if read == 0 {
                            return Ok(());
                        }
                        let ours = read.min(missing);
                        missing -= ours;
                        buffer.extend_from_slice(&bytes[ours..read]);
                    }
                    if line.ends_with("LAST") {
                        taken(counts, begun);
                    }
                    replies.extend_from_slice(b"250 taken\r\n");
                }
                "QUIT" => {
                    greeted = false;
                    replies.extend_from_slice(b"221 bye\r\n");
                }
                _ => replies.extend_from_slice(b"250 ok\r\n"),
            }
        }
    }
}

fn taken(counts: &Counts, begun: Instant) {
    *counts.last.lock().unwrap() = Some(begun.elapsed());
    counts.taken.lock().unwrap().push(Instant::now());
    counts.more.notify_all();
}

fn next_line(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let line = buffer.drain(..=end).collect::<Vec<_>>();
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// Reads up to and with the lone dot.
fn until_dot(link: &mut Link, buffer: &mut Vec<u8>, bytes: &mut [u8]) -> io::Result<()> {
    const END: &[u8] = b"\r\n.\r\n";
    // Only the end of what has come is looked at: nothing follows a dot before its reply.
    let mut tail = std::mem::take(buffer);
    while !tail.ends_with(END) {
        match link.read(bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => tail.extend_from_slice(&bytes[..read]),
        }
        tail.drain(..tail.len().saturating_sub(END.len()));
    }
    Ok(())
}

/// For the plain copy: reads to the end, then says so; how long it took.
pub fn copy_server(tls: Arc<ServerConfig>) -> (u16, std::thread::JoinHandle<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("it is bound").port();
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(tls).unwrap();
        let mut tls = StreamOwned::new(connection, tcp);
        let mut bytes = vec![0; 256 * 1024];
        let mut begun = None;
        while tls.read(&mut bytes).unwrap() > 0 {
            begun.get_or_insert_with(Instant::now);
        }
        let took = begun.map(|begun| begun.elapsed()).unwrap_or_default();
        tls.write_all(b"+").unwrap();
        tls.conn.send_close_notify();
        let _ = tls.flush();
        took
    });
    (port, thread)
}
