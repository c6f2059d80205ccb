//! The smarthost of the demonstration: takes mail on loopback, with STARTTLS and a certificate
//! made on the spot, and remembers what was said. Not a server for anything else.
#![allow(clippy::disallowed_types, reason = "the demonstration plays the other side")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificate;

/// Listens until it is stopped.
pub(super) struct Sink {
    port: u16,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Taken>,
}

/// What came in.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) dialogue: String,
    /// With line ends as in the queue, dots unstuffed.
    pub(super) messages: Vec<String>,
}

impl Taken {
    fn note(&mut self, who: &str, line: &str) {
        self.dialogue.extend([who, line, "\n"]);
    }
}

/// A client that says nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(30);

impl Sink {
    /// Starts listening; its certificate is in `der` when this returns.
    pub(super) fn start(der: &Path) -> Result<Self> {
        let (made, key) = certificate::make()?;
        fs::write(der, &made).context("cannot write the certificate")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made], key)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let port = listener.local_addr()?.port();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let work = move || {
            let (mut taken, config) = (Taken::default(), Arc::new(config));
            for client in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let served = client.and_then(|tcp| serve(tcp, &config, &mut taken));
                if let Err(error) = served {
                    taken.note("", &format!("(connection broke: {error})"));
                }
            }
            taken
        };
        let thread = std::thread::Builder::new().spawn(work).context("cannot start a thread")?;
        Ok(Self { port, over, thread })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn stop(self) -> Taken {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        self.thread.join().unwrap_or_default()
    }
}

fn serve(tcp: TcpStream, config: &Arc<ServerConfig>, taken: &mut Taken) -> io::Result<()> {
    tcp.set_read_timeout(Some(SILENCE))?;
    tcp.set_nodelay(true)?;
    let mut plain = Conversation { stream: BufReader::new(tcp), taken };
    plain.say("220 smarthost.demo.example ESMTP")?;
    if plain.converse("250-smarthost.demo.example\n250-PIPELINING\n250-8BITMIME\n250 STARTTLS")? {
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let tls = StreamOwned::new(connection, plain.stream.into_inner());
        let mut secured = Conversation { stream: BufReader::new(tls), taken: plain.taken };
        secured.converse("250-smarthost.demo.example\n250-PIPELINING\n250 8BITMIME")?;
    }
    Ok(())
}

struct Conversation<'a, S> {
    stream: BufReader<S>,
    taken: &'a mut Taken,
}

impl<S: Read + Write> Conversation<'_, S> {
    fn say(&mut self, reply: &str) -> io::Result<()> {
        for line in reply.lines() {
            self.taken.note("S: ", line);
        }
        self.stream.get_mut().write_all((reply.replace('\n', "\r\n") + "\r\n").as_bytes())
    }

    fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Answers commands until QUIT, the end, or STARTTLS, for which it says true.
    fn converse(&mut self, hello: &str) -> io::Result<bool> {
        while let Some(line) = self.hear()? {
            self.taken.note("C: ", &line);
            match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "EHLO" => self.say(hello)?,
                "STARTTLS" => {
                    self.say("220 2.0.0 go ahead")?;
                    return Ok(true);
                }
                "MAIL" | "RCPT" | "RSET" | "NOOP" => self.say("250 2.0.0 ok")?,
                "DATA" => {
                    self.say("354 end with a single dot")?;
                    self.take_message()?;
                    self.say("250 2.0.0 taken")?;
                }
                "QUIT" => {
                    self.say("221 2.0.0 bye")?;
                    break;
                }
                _ => self.say("502 5.5.1 not here")?,
            }
        }
        Ok(false)
    }

    fn take_message(&mut self) -> io::Result<()> {
        let mut message = String::new();
        while let Some(line) = self.hear()? {
            if line == "." {
                self.taken.note("C: ", "(the message)");
                self.taken.note("C: ", ".");
                self.taken.messages.push(message);
                return Ok(());
            }
            message.push_str(line.strip_prefix('.').unwrap_or(&line));
            message.push('\n');
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
