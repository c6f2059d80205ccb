//! Plays a dialogue as it is written, and says where the other side left the text.
//!
//! ```text
//! S: 250 ok            sent, with CR LF
//! S~ 250 o\x6b\n       sent as it is; \r \n \t \0 \\ and \xNN are bytes
//! C: MAIL FROM:<*>     the next line heard must be this; * is anything
//! C: ...               the lines of a message, up to and with the lone dot
//! > tls                the handshake
//! > no tls             a handshake that the client must give up
//! > drip 250 ok        one byte after the other, slowly and without end
//! > flood 1000000      so many bytes of x without a line end
//! > long 3000          the same, and then the line end
//! > repeat 300 250-x   so many times this line
//! > chunk              reads what the last BDAT announced
//! > stall              reads no more, for longer than a client with a limit of 1 s waits
//! > nothing            the client must close without another byte
//! > hang               the same, where it is for the client to lose patience
//! > wait               says nothing until the client goes, whatever it sends
//! > anything           waits until the client has sent something
//! > close              no further byte to the client
//! > cut                the same, without the end that TLS has
//! ```
//!
//! Lines sent in a row go in one segment. A dialogue that ends has closed.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Acceptor, Certificates, Listener, PATIENCE, Stream, fits};

pub struct Dialogue {
    listener: Listener,
    played: Receiver<Played>,
}

/// How one connection went.
#[derive(Debug)]
pub struct Played {
    /// Every byte that came, after TLS.
    pub heard: String,
    /// Where the client did not say what was written.
    pub departed: Option<String>,
}

impl Dialogue {
    /// Plays `text` to every connection.
    pub fn play(text: &str) -> Self {
        Self::secure(text, None)
    }

    /// The same, with what `> tls` needs.
    pub fn secure(text: &str, certificates: Option<&Certificates>) -> Self {
        let turns: Vec<String> = text
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        let config = certificates.map(|certificates| certificates.server.clone());
        let (sender, played) = channel();
        let sender: Arc<Mutex<Sender<Played>>> = Arc::new(Mutex::new(sender));
        let listener = Listener::start(move |_, stream| {
            let mut player = Player { stream, heard: Vec::new(), config: config.clone() };
            let departed = player.play(&turns).err();
            player.stream.close();
            let rest = player.stream.rest();
            player.heard.extend_from_slice(&rest);
            let heard = String::from_utf8_lossy(&player.heard).into_owned();
            let _ = sender.lock().unwrap().send(Played { heard, departed });
        });
        Self { listener, played }
    }

    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Waits until one connection is over.
    pub fn played(&self) -> Played {
        self.played.recv_timeout(PATIENCE).expect("nobody connected, or nobody left")
    }
}

struct Player {
    stream: Stream,
    heard: Vec<u8>,
    config: Option<Acceptor>,
}

impl Player {
    fn play(&mut self, turns: &[String]) -> Result<(), String> {
        let mut unsent = Vec::new();
        for turn in turns {
            let (mark, text) = turn.split_at(2);
            let text = text.strip_prefix(' ').unwrap_or(text);
            match mark {
                "S:" => unsent.extend_from_slice(format!("{text}\r\n").as_bytes()),
                "S~" => unsent.extend_from_slice(&unescape(text)),
                _ => {
                    self.send(&mut unsent)?;
                    match mark {
                        "C:" => self.hear(text)?,
                        "> " => self.act(text)?,
                        _ => panic!("{turn:?} is no turn of a dialogue"),
                    }
                }
            }
        }
        self.send(&mut unsent)
    }

    fn send(&mut self, unsent: &mut Vec<u8>) -> Result<(), String> {
        if unsent.is_empty() {
            return Ok(());
        }
        let sent = self.stream.send(unsent).map_err(|error| format!("cannot send: {error}"));
        unsent.clear();
        sent
    }

    fn hear(&mut self, wanted: &str) -> Result<(), String> {
        loop {
            let line = self.stream.line();
            let line = line.ok_or_else(|| format!("the client left instead of {wanted:?}"))?;
            self.heard.extend_from_slice(&line);
            self.heard.extend_from_slice(b"\r\n");
            if wanted == "..." {
                if line == b"." {
                    return Ok(());
                }
                continue;
            }
            let line = String::from_utf8_lossy(&line);
            if !fits(wanted, &line) {
                return Err(format!("{line:?} instead of {wanted:?}"));
            }
            return Ok(());
        }
    }

    fn act(&mut self, what: &str) -> Result<(), String> {
        match what.split_once(' ').unwrap_or((what, "")) {
            ("tls", _) => {
                let config = self.config.clone().expect("a dialogue with tls has certificates");
                self.stream.secure(config).ok_or_else(|| "no handshake".to_owned())?;
            }
            ("no", _) => {
                let config = self.config.clone().expect("a dialogue with tls has certificates");
                if self.stream.secure(config).is_some() && !self.stream.rest().is_empty() {
                    return Err("more came over TLS".to_owned());
                }
            }
            ("cut", _) => self.stream.cut(),
            ("drip", text) => {
                let text = format!("{text}{}", "-".repeat(4000));
                for byte in text.bytes() {
                    if self.stream.send(&[byte]).is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            // The client may go before all of it is sent.
            ("flood", count) => drop(self.stream.send(&vec![b'x'; count.parse().unwrap()])),
            ("long", count) => {
                let line = format!("{}\r\n", "x".repeat(count.parse().unwrap()));
                self.send(&mut line.into_bytes())?;
            }
            ("repeat", text) => {
                let (count, line) = text.split_once(' ').unwrap();
                let lines = format!("{line}\r\n").repeat(count.parse().unwrap());
                drop(self.stream.send(lines.as_bytes()));
            }
            ("chunk", _) => {
                let heard = String::from_utf8_lossy(&self.heard);
                let announced = heard.rsplit("BDAT ").next().and_then(|rest| {
                    rest.split([' ', '\r']).next().and_then(|count| count.parse().ok())
                });
                let chunk = self.stream.bytes(announced.expect("BDAT was heard"));
                chunk.ok_or("the client left in a chunk")?;
            }
            // The text of a message, after DATA.
            ("text", _) => loop {
                let line = self.stream.line().ok_or("the client left in the text")?;
                if line == b"." {
                    break;
                }
            },
            ("stall", _) => std::thread::sleep(Duration::from_secs(3)),
            ("nothing" | "hang", _) => {
                let rest = self.stream.rest();
                if !rest.is_empty() {
                    return Err(format!("{:?} instead of nothing", String::from_utf8_lossy(&rest)));
                }
            }
            ("anything", _) => drop(self.stream.more()),
            ("wait", _) => drop(self.stream.rest()),
            ("close", _) => self.stream.close(),
            _ => panic!("{what:?} is nothing to do"),
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("{other:?} behind a backslash"),
        });
    }
    bytes
}
