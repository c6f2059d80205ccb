//! Servers for the binary to talk to: a player of written dialogues, and a sink that takes mail.
//!
//! [`Dialogue`] says exactly what it is told and checks what it hears; hostile servers are written
//! so. [`Sink`] is a working SMTP server with knobs; it keeps what it was sent. Both listen on
//! loopback, serve any number of connections, and end with all their threads when dropped.

#![allow(dead_code, unused_imports, reason = "a test that needs a knob finds it here")]

mod dialogue;
mod sink;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub use dialogue::Dialogue;
pub use sink::{Answer, Received, Sink};

/// Longer than any test takes; what waits so long is broken and is told so.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A listener on loopback and the threads that serve its connections.
pub struct Listener {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Listener {
    /// Serves every connection by `serve` in a thread of its own; connections count from 0.
    pub fn start(serve: impl Fn(usize, Stream) + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", serve)
    }

    pub fn start_on(address: &str, serve: impl Fn(usize, Stream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (serve, ours) = (Arc::new(serve), shared.clone());
        let acceptor = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if ours.over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                ours.open.lock().unwrap().push(stream.try_clone().unwrap());
                let (serve, end) = (serve.clone(), stream.try_clone().unwrap());
                let thread = std::thread::spawn(move || {
                    serve(number, Stream::new(stream));
                    // Dropping the stream leaves our other handles open.
                    let _ = end.shutdown(Shutdown::Both);
                });
                ours.threads.lock().unwrap().push(thread);
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends all connections and waits for their threads. True if none of them panicked.
    fn stop(&mut self) -> bool {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        let mut well = self.acceptor.take().is_none_or(|thread| thread.join().is_ok());
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in self.shared.threads.lock().unwrap().drain(..) {
            well &= thread.join().is_ok();
        }
        well
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let well = self.stop();
        assert!(well || std::thread::panicking(), "a server thread panicked");
    }
}

/// A connection as a server sees it: lines out of it, bytes into it, TLS when it is time.
pub struct Stream {
    link: Link,
    /// Read and not yet handed out.
    buffer: Vec<u8>,
}

enum Link {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>),
    #[cfg(feature = "tls-anon-auth")]
    Anonymous(Box<openssl::ssl::SslStream<TcpStream>>),
    Gone,
}

/// What a server does a handshake with.
#[derive(Clone)]
pub enum Acceptor {
    Rustls(Arc<rustls::ServerConfig>),
    #[cfg(feature = "tls-anon-auth")]
    Anonymous(openssl::ssl::SslContext),
}

impl Stream {
    fn new(tcp: TcpStream) -> Self {
        Self { link: Link::Plain(tcp), buffer: Vec::new() }
    }

    /// The next line without its line end; `None` when the client has closed or gone silent.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                line.pop();
                line.pop_if(|last| *last == b'\r');
                return Some(line);
            }
            self.more()?;
        }
    }

    /// Exactly so many bytes.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.more()?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more().is_some() {}
        std::mem::take(&mut self.buffer)
    }

    /// What arrives next, however much it is.
    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        let read = match &mut self.link {
            Link::Plain(tcp) => tcp.read(&mut bytes),
            Link::Tls(tls) => tls.read(&mut bytes),
            #[cfg(feature = "tls-anon-auth")]
            Link::Anonymous(tls) => tls.read(&mut bytes),
            Link::Gone => Ok(0),
        };
        match read {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Some(())
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.link {
            Link::Plain(tcp) => tcp.write_all(bytes),
            Link::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            #[cfg(feature = "tls-anon-auth")]
            Link::Anonymous(tls) => tls.write_all(bytes),
            Link::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The server's side of a handshake. What the client sent in clear before it is dropped.
    pub fn secure(&mut self, acceptor: Acceptor) -> Option<()> {
        self.buffer.clear();
        let Link::Plain(tcp) = std::mem::replace(&mut self.link, Link::Gone) else { return None };
        match acceptor {
            Acceptor::Rustls(config) => {
                let connection = rustls::ServerConnection::new(config).unwrap();
                let mut tls = Box::new(rustls::StreamOwned::new(connection, tcp));
                while tls.conn.is_handshaking() {
                    tls.conn.complete_io(&mut tls.sock).ok()?;
                }
                self.link = Link::Tls(tls);
            }
            #[cfg(feature = "tls-anon-auth")]
            Acceptor::Anonymous(context) => {
                let ssl = openssl::ssl::Ssl::new(&context).unwrap();
                self.link = Link::Anonymous(Box::new(ssl.accept(tcp).ok()?));
            }
        }
        Some(())
    }

    /// Whether the handshake took up an earlier session; `None` without one of rustls.
    pub fn is_resumed(&self) -> Option<bool> {
        match &self.link {
            Link::Tls(tls) => Some(tls.conn.handshake_kind()? == rustls::HandshakeKind::Resumed),
            _ => None,
        }
    }

    pub fn is_secure(&self) -> bool {
        !matches!(self.link, Link::Plain(_))
    }

    /// Closes our side of the connection under TLS.
    pub fn cut(&mut self) {
        match &mut self.link {
            Link::Plain(tcp) => drop(tcp.shutdown(Shutdown::Write)),
            Link::Tls(tls) => drop(tls.sock.shutdown(Shutdown::Write)),
            #[cfg(feature = "tls-anon-auth")]
            Link::Anonymous(tls) => drop(tls.get_ref().shutdown(Shutdown::Write)),
            Link::Gone => {}
        }
    }

    /// No more bytes to the client; what it sends can still be read.
    pub fn close(&mut self) {
        match &mut self.link {
            Link::Plain(tcp) => drop(tcp.shutdown(Shutdown::Write)),
            Link::Tls(tls) => {
                tls.conn.send_close_notify();
                let _ = tls.flush();
                drop(tls.sock.shutdown(Shutdown::Write));
            }
            #[cfg(feature = "tls-anon-auth")]
            Link::Anonymous(tls) => {
                let _ = tls.shutdown();
                drop(tls.get_ref().shutdown(Shutdown::Write));
            }
            Link::Gone => {}
        }
    }
}

/// A certificate for `localhost`, 127.0.0.1 and ::1 below an authority of its own.
pub struct Certificates {
    /// The authority, for `x509cafile`.
    pub authority: String,
    /// The server's own, for `tls-pin`.
    pub pin: String,
    pub server: Acceptor,
}

impl Certificates {
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let params = rcgen::CertificateParams::new(names).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.into())
            .unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, leaf.der());
        let pin = digest
            .as_ref()
            .iter()
            .fold("sha256:".to_owned(), |pin, byte| format!("{pin}{byte:02x}"));
        let authority = pem(authority.der());
        Self { authority, pin, server: Acceptor::Rustls(Arc::new(server)) }
    }

    /// None at all, for a server that has nothing but these suites.
    #[cfg(feature = "tls-anon-auth")]
    pub fn none(suites: &str) -> Self {
        use openssl::ssl::{SslContext, SslMethod, SslVersion};
        let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
        context.set_security_level(0);
        context.set_cipher_list(suites).unwrap();
        context.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        context.set_tmp_dh(&openssl::dh::Dh::get_2048_256().unwrap()).unwrap();
        Self {
            authority: String::new(),
            pin: String::new(),
            server: Acceptor::Anonymous(context.build()),
        }
    }
}

fn pem(der: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let encoded = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Whether `text` is `pattern`, in which each `*` stands for anything.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(begin) else { return false };
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| fits(rest, &text[at..]))
}
