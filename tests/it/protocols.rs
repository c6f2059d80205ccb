//! The contract of the protocol programs that scripts know: options, descriptors, exit codes.

use std::fs::File;
use std::io::{Seek, Write};
use std::net::TcpListener;

use command_fds::{CommandFdExt, FdMapping};

use crate::house::{House, Ran, run};
use crate::qmqp::Netstrings;
use crate::smarthost::{Dialogue, Sink};

const MAIL: &str = "s@x.example\na@x.example\n\nSubject: x\n\nbody\n";
const BOTH: [&str; 2] = ["smtp", "qmqp"];

/// Runs a protocol program with these options, `stdin` on descriptor 0 and a queue file on 3.
pub fn program(name: &str, options: &[&str], stdin: &str) -> Ran {
    let house = House::new();
    let mut file: File = tempfile::NamedTempFile::new().unwrap().reopen().unwrap();
    file.write_all(MAIL.as_bytes()).unwrap();
    file.rewind().unwrap();
    let mut command = house.command("nullmailer");
    command.arg(name).args(options).env("HELOHOST", "me.example");
    command.fd_mappings(vec![FdMapping { parent_fd: file.into(), child_fd: 3 }]).unwrap();
    run(&mut command, stdin)
}

/// A server for either program that takes everything.
enum Server {
    Smtp(Sink),
    Qmqp(Netstrings),
}

impl Server {
    fn start(program: &str) -> Self {
        match program {
            "smtp" => Self::Smtp(Sink::new()),
            _ => Self::Qmqp(Netstrings::answer("Kok")),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::Smtp(sink) => sink.port(),
            Self::Qmqp(server) => server.port(),
        }
    }

    fn messages(&self) -> usize {
        match self {
            Self::Smtp(sink) => sink.messages().len(),
            Self::Qmqp(server) => server.messages().len(),
        }
    }
}

#[test]
fn options_come_as_arguments_and_as_lines() {
    for name in BOTH {
        let server = Server::start(name);
        let port = server.port().to_string();
        let (long, short) = (format!("--port={port}"), format!("-p{port}"));
        let line = format!("port={port}");
        for (options, lines) in [
            (vec!["--host=127.0.0.1", &long], String::new()),
            (vec!["--host", "127.0.0.1", "--port", &port], String::new()),
            (vec!["--host=127.0.0.1", "-p", &port], "\n".to_owned()),
            (vec!["--host=127.0.0.1", &short], String::new()),
            (vec![], format!("host=127.0.0.1\n{line}\n\n")),
            (vec![], format!("host=127.0.0.1\n--{line}")),
            (vec![], format!("--host=127.0.0.1\n-p{port}\n\nunread\n")),
            // The lines come second, and the last of several wins.
            (vec!["--host=192.0.2.1", "--port=1"], format!("host=127.0.0.1\n{line}\n")),
        ] {
            program(name, &options, &lines).success();
        }
        assert_eq!(server.messages(), 8, "{name}");
    }
}

#[test]
fn a_call_that_cannot_be_meant_is_one_with_code_1() {
    for name in BOTH {
        for options in [
            &[][..],
            &["--port=25"],
            &["--host=127.0.0.1", "extra"],
            &["127.0.0.1"],
            &["--host=127.0.0.1", "--", "extra"],
            &["--host=127.0.0.1", "--no-such-option"],
            &["--host=127.0.0.1", "-x"],
            &["--host=127.0.0.1", "--port=abc"],
            &["--host=127.0.0.1", "--port=-1"],
            &["--host=127.0.0.1", "--port"],
            &["--host=127.0.0.1", "--tls=yes"],
        ] {
            let ran = program(name, options, "").exit(1);
            assert!(ran.stderr.starts_with(&format!("{name}: ")), "{options:?}: {}", ran.stderr);
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
            assert!(!ran.stdout.trim().is_empty(), "the status text is on stdout too");
        }
        for lines in ["port\n25\n", "host=127.0.0.1\nno-such\n", "host=127.0.0.1\n-p=25\n"] {
            program(name, &[], lines).exit(1);
        }
        assert!(program(name, &["--help"], "").success().stdout.starts_with("usage: "));
    }
}

#[test]
fn options_that_are_no_text_are_told_from_wrong_ones() {
    let house = House::new();
    let ran = house.run("nullmailer", ["smtp"], b"host=\xff\n").exit(18);
    ran.complains("cannot read options from stdin: not UTF-8");
}

#[test]
fn a_remote_that_is_not_reached_has_a_code_of_its_own() {
    // Nobody listens there.
    let port = "--port=1";
    for name in BOTH {
        program(name, &["--host=127.0.0.1", port], "").exit(7);
        program(name, &["--host=::1", port], "").exit(7);
        program(name, &["--host=[::1]", port], "").exit(7);
        program(name, &["--host=no-such-host.invalid", port], "").exit(2);
        program(name, &["--host=127.0.0.1", "--source=::1", port], "").exit(19);
        program(name, &["--host=::1", "--source=127.0.0.1", port], "").exit(19);
        program(name, &["--host=127.0.0.1", "--source=192.0.2.1", port], "").exit(19);
    }
}

#[test]
fn the_source_address_is_where_the_connection_comes_from() {
    for name in BOTH {
        let server = Server::start(name);
        let port = format!("--port={}", server.port());
        for source in ["127.0.0.3", "localhost"] {
            let source = format!("--source={source}");
            program(name, &["--host=127.0.0.1", &source, &port], "").success();
        }
        assert_eq!(server.messages(), 2);
    }
}

#[test]
fn mail_goes_over_ipv6_too() {
    let server = Netstrings::answer_on("[::1]:0", "Kok");
    let port = format!("--port={}", server.port());
    for host in ["::1", "[::1]"] {
        let options = [&format!("--host={host}"), &port, "--ipv6"];
        program("qmqp", &options, "").success();
    }
    assert_eq!(server.messages().len(), 2);
}

#[test]
fn a_server_of_another_protocol_is_one_with_code_11() {
    for name in BOTH {
        for said in ["HTTP/1.1 400 Bad Request", "* OK IMAP4rev1", "SSH-2.0-x"] {
            let host = Dialogue::play(&format!("S: {said}\n> close"));
            let port = format!("--port={}", host.port());
            program(name, &["--host=127.0.0.1", &port], "").exit(11);
        }
    }
}

#[test]
fn tls_that_cannot_be_set_up_is_16_before_any_connection() {
    for name in BOTH {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let port = format!("--port={}", server.local_addr().unwrap().port());
        for option in ["--x509cafile=/nowhere", "--x509certfile=/nowhere", "--x509crlfile=/nowhere"]
        {
            let ran = program(name, &["--host=127.0.0.1", &port, "--tls", option], "").exit(16);
            assert!(ran.stderr.contains("cannot read /nowhere"), "{}", ran.stderr);
        }
        assert!(server.accept().is_err(), "{name} connected");
    }
}
