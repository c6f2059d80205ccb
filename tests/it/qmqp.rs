//! The qmqp program: what goes over the wire, and what the answer means.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex};

use command_fds::{CommandFdExt, FdMapping};

use crate::house::{House, Ran, run};
use crate::smarthost::{Certificates, Listener, Stream};

/// A QMQP server that reads one message a connection and gives the same answer to each.
pub struct Netstrings {
    listener: Listener,
    messages: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Netstrings {
    pub fn answer(text: &str) -> Self {
        Self::answer_on("127.0.0.1:0", text)
    }

    pub fn answer_on(address: &str, text: &str) -> Self {
        Self::serve(address, format!("{}:{text},", text.len()), None)
    }

    /// Sends these bytes as they are.
    fn say(bytes: &str) -> Self {
        Self::serve("127.0.0.1:0", bytes.to_owned(), None)
    }

    fn secure(certificates: &Certificates) -> Self {
        Self::serve("127.0.0.1:0", "3:Kok,".to_owned(), Some(certificates.server.clone()))
    }

    fn serve(address: &str, answer: String, tls: Option<crate::smarthost::Acceptor>) -> Self {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let ours = messages.clone();
        let listener = Listener::start_on(address, move |_, mut stream| {
            if let Some(config) = tls.clone()
                && stream.secure(config).is_none()
            {
                return;
            }
            if let Some(message) = netstring(&mut stream) {
                ours.lock().unwrap().push(message);
                let _ = stream.send(answer.as_bytes());
            }
            stream.close();
            stream.rest();
        });
        Self { listener, messages }
    }

    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// What was in the outer netstrings.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.messages.lock().unwrap().clone()
    }
}

fn netstring(stream: &mut Stream) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        match stream.bytes(1)?[0] {
            digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
            b':' => break,
            _ => return None,
        }
    }
    let content = stream.bytes(length)?;
    (stream.bytes(1)? == b",").then_some(content)
}

fn qmqp(house: &House, options: &[&str], queue_file: impl AsRef<[u8]>) -> Ran {
    let mut file: File = tempfile::NamedTempFile::new().unwrap().reopen().unwrap();
    file.write_all(queue_file.as_ref()).unwrap();
    file.rewind().unwrap();
    let mut command = house.command("nullmailer");
    command.arg("qmqp").arg("--host=127.0.0.1").args(options);
    command.fd_mappings(vec![FdMapping { parent_fd: file.into(), child_fd: 3 }]).unwrap();
    run(&mut command, "")
}

fn send(server: &Netstrings, queue_file: impl AsRef<[u8]>) -> Ran {
    qmqp(&House::new(), &[&format!("--port={}", server.port())], queue_file)
}

#[test]
fn the_message_goes_out_as_it_is_stored() {
    let text = "Subject: x\n\n.\n\u{e9} no end of line";
    let server = Netstrings::answer("Kok 1795382142 qp 7");
    let ran = send(&server, format!("s@x\na@x\nb@y\n\n{text}")).success();
    assert_eq!(ran.stdout, "ok 1795382142 qp 7\n");
    assert_eq!(ran.stderr, "qmqp: Succeeded: ok 1795382142 qp 7\n");
    let expected = format!("{}:{text},3:s@x,3:a@x,3:b@y,", text.len());
    assert_eq!(server.messages(), [expected.into_bytes()]);
    // Nobody wants to hear back; and a message of many blocks.
    let long = "line of text\n".repeat(100_000);
    send(&server, format!("\na@x\n\n{long}")).success();
    let expected = format!("{}:{long},0:,3:a@x,", long.len());
    assert!(server.messages()[1] == expected.into_bytes());
}

#[test]
fn the_first_letter_of_the_answer_is_the_verdict() {
    for (answer, code, text) in [
        ("Kok", 0, "Succeeded: ok"),
        ("K", 0, "Succeeded: "),
        ("Zbusy\nlater", 16, "Failed: busy later"),
        ("D5.7.1 not you", 35, "Failed: 5.7.1 not you"),
    ] {
        let ran = send(&Netstrings::answer(answer), "s@x\na@x\n\nhi\n").exit(code);
        assert_eq!(ran.stderr, format!("qmqp: {text}\n"));
    }
}

#[test]
fn an_answer_that_is_none_is_never_taken_for_a_yes() {
    for bytes in [
        "",
        "3:Kok",
        "3:Kokx",
        "0:,",
        "3:xok,",
        "Kok\n",
        "250 ok\r\n",
        "9999999999:Kok,",
        "3:Kok,3:Dno,",
    ] {
        let ran = send(&Netstrings::say(bytes), "s@x\na@x\n\nhi\n").exit(11);
        assert!(ran.stderr.starts_with("qmqp: Failed: "), "{bytes}: {}", ran.stderr);
        assert!(
            ran.stderr.ends_with("; the message may have been taken\n"),
            "{bytes}: {}",
            ran.stderr
        );
    }
}

#[test]
fn an_answer_before_the_message_is_out_can_only_refuse() {
    // More than the buffers between them hold: the client cannot be done when it hears.
    let long = format!("s@x\na@x\n\n{}", "line of text\n".repeat(1_000_000));
    for (early, code, said) in [
        ("3:Kok,", 11, "server answered before the message was out"),
        ("3:Dno,", 35, "no"),
        ("5:Zbusy,", 16, "busy"),
    ] {
        let listener = Listener::start(move |_, mut stream: Stream| {
            let _ = stream.send(early.as_bytes());
            let _ = netstring(&mut stream);
            stream.close();
            stream.rest();
        });
        let port = format!("--port={}", listener.port());
        let ran = qmqp(&House::new(), &[&port], &long).exit(code);
        assert!(ran.stderr.ends_with(&format!("{said}\n")), "{early}: {}", ran.stderr);
    }
}

#[test]
fn a_file_without_a_whole_envelope_is_13_before_any_connection() {
    let server = Netstrings::answer("Kok");
    for broken in ["", "s@x\n\nhi\n", "s@x\na\n\nhi\n"] {
        send(&server, broken).exit(13);
    }
    assert!(server.messages().is_empty());
}

#[test]
fn qmqp_over_tls_is_verified_like_any_other() {
    let certificates = Certificates::new();
    let server = Netstrings::secure(&certificates);
    let house = House::new();
    house.control("ca.pem", &certificates.authority);
    let ca = format!("--x509cafile={}", house.path("conf/ca.pem").display());
    let port = format!("--port={}", server.port());
    let mail = "s@x\na@x\n\nhi\n";
    qmqp(&house, &[&port, "--tls", &ca], mail).success();
    qmqp(&house, &[&port, "--tls", "--insecure"], mail).success();
    qmqp(&house, &[&port, "--tls"], mail).exit(16).complains("x509cafile");
    qmqp(&house, &[&port, "--tls", &ca, "--tls-name=other.example"], mail).exit(16);
    qmqp(&house, &[&port, "--starttls"], mail).exit(1).complains("starttls");
    qmqp(&house, &["--tls"], mail).exit(1).complains("port");
    assert_eq!(server.messages().len(), 2);
}

#[test]
fn the_daemon_speaks_qmqp() {
    let server = Netstrings::answer("Kok");
    let house = House::new();
    house.control("remotes", &format!("127.0.0.1 qmqp port={}\n", server.port()));
    house.control("pausetime", "0");
    for _ in 0..3 {
        house.run("nullmailer-queue", [""; 0], "s@x.y\na@x.y\n\nhi\n").success();
    }
    house.run("nullmailer-send", [""; 0], "").success();
    assert_eq!(server.messages().len(), 3);
    assert!(house.queued().is_empty());
}
