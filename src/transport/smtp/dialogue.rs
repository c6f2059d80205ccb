//! A server for this room's own tests: plays a dialogue over loopback and returns what it heard.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Io, Session};
use crate::mail::{Address, DeliveryRequest, Helo, Outcome, Protocol, Remote, ReversePath};
use crate::transport::{Collected, Fault, Mail};

/// Plays a dialogue: `S:` lines are sent at once, `C:` waits for a line, which may end in `*`,
/// `C: ...` reads up to a lone dot, `> hang` says nothing until the client goes. Ends with the dialogue; everything heard is returned.
pub(in crate::transport) struct Server {
    pub(in crate::transport) address: SocketAddr,
    heard: JoinHandle<Vec<u8>>,
}

impl Server {
    pub(in crate::transport) fn play(dialogue: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dialogue = dialogue.to_owned();
        let heard = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            play(&dialogue, BufReader::new(stream))
        });
        Self { address, heard }
    }

    pub(in crate::transport) fn heard(self) -> String {
        String::from_utf8(self.heard.join().unwrap()).unwrap()
    }
}

fn play(dialogue: &str, mut stream: BufReader<std::net::TcpStream>) -> Vec<u8> {
    let mut heard = Vec::new();
    for turn in dialogue.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match turn.split_at(2) {
            ("S:", said) => {
                let said = format!("{}\r\n", said.trim_start());
                if stream.get_mut().write_all(said.as_bytes()).is_err() {
                    break;
                }
            }
            ("C:", " ...") => {
                let mut line = Vec::new();
                while line != b".\r\n" {
                    line.clear();
                    if stream.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                        return heard;
                    }
                    heard.extend_from_slice(&line);
                }
            }
            ("C:", wanted) => {
                let mut line = Vec::new();
                if stream.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                    return heard;
                }
                heard.extend_from_slice(&line);
                let line = String::from_utf8_lossy(&line);
                let wanted = wanted.trim();
                let fits = match wanted.strip_suffix('*') {
                    Some(begin) => line.starts_with(begin),
                    None => line.trim_end() == wanted,
                };
                assert!(fits, "heard {line:?} instead of {wanted:?}");
            }
            ("> ", "nothing") => {}
            ("> ", "hang") => {
                let _ = std::io::Read::read_to_end(&mut stream, &mut heard);
            }
            _ => panic!("{turn:?} is no turn of a dialogue"),
        }
    }
    let mut rest = Vec::new();
    let _ = stream.get_mut().shutdown(std::net::Shutdown::Write);
    let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    heard.extend_from_slice(&rest);
    heard
}

pub(in crate::transport) fn remote() -> Remote {
    Remote { step_limit: Some(Duration::from_secs(10)), ..Remote::new("127.0.0.1", Protocol::Smtp) }
}

pub(in crate::transport) async fn open(address: SocketAddr) -> Result<Session, Fault> {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let helo = Helo::Name("me.example".to_owned());
    Session::open(Io::Plain(tcp), &remote(), &helo, None).await
}

/// What a delivery told, and how it ended.
pub(in crate::transport) struct Delivery {
    pub(in crate::transport) outcomes: Vec<Outcome>,
    pub(in crate::transport) fault: Option<Fault>,
}

/// Sends one message from `s@x` and leaves; the text is written to a file first.
pub(in crate::transport) async fn deliver(
    address: SocketAddr,
    recipients: &[&str],
    text: &[u8],
) -> Delivery {
    let mut session = open(address).await.unwrap();
    let delivery = deliver_over(&mut session, recipients, text).await;
    session.close().await;
    delivery
}

pub(in crate::transport) async fn deliver_over(
    session: &mut Session,
    recipients: &[&str],
    text: &[u8],
) -> Delivery {
    use std::io::Write as _;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"envelope\n\n").unwrap();
    file.write_all(text).unwrap();
    let recipients: Vec<_> =
        recipients.iter().map(|text| Address::parse(text.as_bytes()).unwrap()).collect();
    let mail = Mail {
        sender: &ReversePath::parse(b"s@x").unwrap(),
        recipients: &recipients,
        request: &DeliveryRequest::default(),
        file: &file,
        offset: 10,
        size: text.len() as u64,
    };
    deliver_mail(session, &mail).await
}

/// Sends one message; a recipient who is told of twice, or never without a fault, fails the test.
pub(in crate::transport) async fn deliver_mail(session: &mut Session, mail: &Mail<'_>) -> Delivery {
    let told = RefCell::new(vec![0; mail.recipients.len()]);
    let collected = Collected::of(mail);
    let report = |which: &[usize], outcome: &Outcome| {
        for which in which {
            told.borrow_mut()[*which] += 1;
        }
        collected.take(which, outcome);
    };
    let fault = super::deliver(session, mail, super::Share::Each, &report).await.err();
    let least = usize::from(fault.is_none());
    assert!(told.borrow().iter().all(|times| (least..=1).contains(times)), "{told:?}");
    Delivery { outcomes: collected.finish(fault.as_ref()), fault }
}

pub(in crate::transport) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
