//! Very many recipients.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::*;
use crate::mail::linear::{addresses, assert_linear};
use crate::mail::{Helo, Protocol, Remote};
use crate::transport::smtp::Io;

/// Takes ten recipients a transaction, or nobody; returns how many it was asked for.
async fn server(io: DuplexStream, offers: &str, refuses: bool) -> usize {
    let (reader, mut writer) = tokio::io::split(io);
    let mut lines = BufReader::new(reader).lines();
    let (mut taken, mut asked, mut in_text) = (0, 0, false);
    writer.write_all(b"220 hi\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        if in_text {
            in_text = line != ".";
            if in_text {
                continue;
            }
        }
        let reply = match line.get(..4).unwrap_or(&line) {
            "EHLO" => offers,
            "MAIL" => {
                taken = 0;
                "250 ok"
            }
            "RCPT" => {
                asked += 1;
                taken += 1;
                match (refuses, taken) {
                    (true, _) => "550 no",
                    (false, ..=10) => "250 ok",
                    (false, _) => "452 4.5.3 too many",
                }
            }
            "DATA" if refuses => "554 nobody",
            "DATA" => {
                in_text = true;
                "354 go"
            }
            _ => "250 ok",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
    }
    asked
}

#[test]
fn many_recipients_take_no_longer_for_each() {
    let file = tempfile::tempfile().unwrap();
    for (offers, refuses, most) in [
        ("250 hi", false, 2),
        ("250-hi\r\n250 PIPELINING", false, 10),
        ("250-hi\r\n250 PIPELINING", true, 1),
    ] {
        assert_linear(1_000, |count| {
            let all = addresses(count);
            let mail = Mail {
                sender: &ReversePath::Null,
                recipients: &all,
                request: &DeliveryRequest::default(),
                file: &file,
                offset: 0,
                size: 0,
            };
            let (near, far) = tokio::io::duplex(1 << 16);
            let client = async {
                let (helo, remote) = (Helo::AddressLiteral, Remote::new("h", Protocol::Smtp));
                let mut session =
                    Session::open(Io::Memory(Box::new(near)), &remote, &helo, None).await.unwrap();
                let delivery = deliver_mail(&mut session, &mail).await;
                assert!(delivery.fault.is_none(), "{:?}", delivery.fault);
                session.close().await;
                delivery.outcomes.iter().filter(|one| matches!(one, Outcome::Sent(_))).count()
            };
            let (served, asked) = run(async { tokio::join!(client, server(far, offers, refuses)) });
            assert_eq!(served, if refuses { 0 } else { count }, "{offers}");
            assert!(asked <= count * most, "{offers}: asked for {asked} of {count}");
        });
    }
}
