//! What a server sees and what comes of it, over loopback.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::dialogue::{Server, open, run};
use super::*;

/// Notes in which order it is read and written.
#[derive(Clone, Debug, Default)]
struct Watched(Arc<Mutex<Vec<String>>>);

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().push("read".to_owned());
        buffer.put_slice(b"250 -\r\n");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncTokioStream for Watched {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 25).into())
    }
}

#[test]
fn lettre_reads_one_reply_says_ehlo_and_reads_one_reply() {
    let watched = Watched::default();
    let name = ClientId::Domain("-".to_owned());
    let stream = Box::new(watched.clone());
    run(AsyncSmtpConnection::connect_with_transport(stream, &name)).unwrap();
    assert_eq!(*watched.0.lock().unwrap(), ["read", "EHLO -\r\n", "read"]);
}

#[test]
fn a_server_that_does_not_know_ehlo_is_told_helo() {
    let server = Server::play(
        "S: 220 old
         C: EHLO me.example
         S: 502 what
         C: HELO me.example
         S: 250 hi
         C: QUIT
         S: 221 bye",
    );
    run(async {
        let session = open(server.address).await.unwrap();
        assert_eq!(*session.capabilities(), Capabilities::default());
        session.close().await;
    });
    assert!(server.heard().ends_with("QUIT\r\n"));
}

#[test]
fn a_greeting_that_refuses_is_a_fault_of_the_session() {
    let server = Server::play("S: 554 5.3.2 no service");
    let fault = run(open(server.address)).unwrap_err();
    assert_eq!(fault.phase, Phase::Greeting);
    assert!(fault.to_string().ends_with("greeting: server said 554 5.3.2 no service"));
    assert_eq!(server.heard(), "QUIT\r\n");
}

#[test]
fn a_reply_to_nothing_ends_the_session() {
    let server = Server::play(
        "S: 220 hi
         C: EHLO *
         S: 250 hi
         S: 250 hi again",
    );
    let fault = run(async {
        let mut session = open(server.address).await?;
        loop {
            if let Err(fault) = session.expect_silence().await {
                break Ok::<_, Fault>(fault);
            }
            tokio::task::yield_now().await;
        }
    })
    .unwrap();
    assert!(fault.to_string().ends_with("server sent unasked: 250 hi again"), "{fault}");
    assert_eq!(server.heard(), "EHLO me.example\r\n");
}

#[test]
fn a_command_cannot_hold_another() {
    let server = Server::play("S: 220 hi\nC: EHLO *\nS: 250 hi");
    let fault = run(async {
        open(server.address).await.unwrap().command("NOOP\r\nDATA").await.unwrap_err()
    });
    assert!(fault.to_string().contains("line end"));
    assert_eq!(server.heard(), "EHLO me.example\r\n");
}
