//! A server that says a reply too many or too few once, and keeps a book of what it took.
//!
//! It reads commands as a server should, and answers several of a group at once, as a server may (RFC 2920 §3.2). What
//! it decides, when, and where it lies is drawn from the fuzzer's bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf,
};

use super::client;
use crate::mail::Outcome;

const MESSAGES: [&[u8]; 3] =
    [b"Subject: 0\n\nbody\n", b"Subject: 1\n\nbody\n", b"Subject: 2\n\nbody\n"];

/// Three messages to two recipients each: who counts as served is, and who counts as refused is not.
pub(crate) fn lying(choices: &[u8]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets needs nothing of the system");
    let (near, far) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(far);
    let mut server = Server {
        choices: choices.iter(),
        reader: BufReader::new(reader),
        writer,
        said: Vec::new(),
        has_lied: false,
        sender: false,
        recipients: Vec::new(),
        taken: BTreeSet::new(),
        story: Vec::new(),
    };
    let (deliveries, taken, story) = runtime.block_on(async {
        let served = async {
            let _ = server.serve().await;
            // Who waits for more hears that there is none.
            drop((server.reader, server.writer));
            (server.taken, server.story)
        };
        let (deliveries, (taken, story)) = tokio::join!(client(near, &MESSAGES), served);
        (deliveries, taken, story)
    });
    for (message, outcomes) in deliveries.iter().enumerate() {
        for (recipient, outcome) in ["a@x", "b@x"].into_iter().zip(outcomes) {
            let is_taken = taken.contains(&(message.to_string(), recipient.to_owned()));
            let is_told = match outcome {
                Outcome::Sent(_) => is_taken,
                Outcome::Failed(_) => !is_taken,
                Outcome::Deferred(_) => true,
            };
            assert!(is_told, "message {message} to {recipient}: {outcome:?}\n{}", story.join("\n"));
        }
    }
}

struct Server<'a> {
    choices: std::slice::Iter<'a, u8>,
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    /// Not sent yet.
    said: Vec<u8>,
    /// One lie a session: with two replies too many and pauses between them, nothing shows which reply is which.
    has_lied: bool,
    sender: bool,
    recipients: Vec<String>,
    /// The number of a message, and who got it.
    taken: BTreeSet<(String, String)>,
    story: Vec<String>,
}

/// What the server makes of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Yes,
    Never,
    Later,
}

impl Server<'_> {
    /// `None` at the end of the connection.
    async fn serve(&mut self) -> Option<()> {
        self.say("220 hi");
        loop {
            let line = self.line().await?;
            match line.get(..4).unwrap_or(&line) {
                "EHLO" => {
                    let offers = self.choose() % 4;
                    let offer = |bit, name| if offers & bit == 0 { name } else { "" };
                    let (one, two) = (offer(1, "250-PIPELINING\r\n"), offer(2, "250-CHUNKING\r\n"));
                    self.say(&format!("250-hi\r\n{one}{two}250 8BITMIME"));
                }
                "MAIL" => {
                    self.sender = self.answer("250 sender").await? == Word::Yes;
                    self.recipients.clear();
                }
                "RCPT" if self.sender => {
                    if self.answer("250 recipient").await? == Word::Yes {
                        let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                        self.recipients.push(address.to_owned());
                    }
                }
                "DATA" if !self.recipients.is_empty() => {
                    if self.answer("354 go").await? == Word::Yes {
                        self.flush().await?;
                        self.message().await?;
                    }
                }
                "BDAT" => {
                    let size = line.split(' ').nth(1).and_then(|size| size.parse().ok())?;
                    let mut text = vec![0; size];
                    self.reader.read_exact(&mut text).await.ok()?;
                    self.story.push("C: (the chunk)".to_owned());
                    if self.recipients.is_empty() {
                        self.say("503 nobody");
                    } else {
                        self.end_of_message(&String::from_utf8_lossy(&text)).await?;
                    }
                }
                "RSET" => {
                    self.reset();
                    self.say("250 reset");
                }
                "QUIT" => {
                    self.say("221 bye");
                    return self.flush().await;
                }
                _ => self.say("503 what"),
            }
        }
    }

    fn choose(&mut self) -> u8 {
        self.choices.next().copied().unwrap_or_default()
    }

    async fn line(&mut self) -> Option<String> {
        // As long as there is more of the group, the answers can wait.
        if self.reader.buffer().is_empty() {
            self.flush().await?;
        }
        let mut line = String::new();
        let length = self.reader.read_line(&mut line).await.ok()?;
        self.story.push(format!("C: {}", line.trim_end()));
        (length > 0).then_some(line.trim_end().to_owned())
    }

    async fn flush(&mut self) -> Option<()> {
        let said = std::mem::take(&mut self.said);
        self.writer.write_all(&said).await.ok()
    }

    fn say(&mut self, reply: &str) {
        self.said.extend_from_slice(reply.as_bytes());
        self.said.extend_from_slice(b"\r\n");
        self.story.push(format!("S: {reply}"));
    }

    /// Decides on a command and answers it, in time or not, and not always with one reply.
    async fn answer(&mut self, yes: &str) -> Option<Word> {
        let choice = self.choose();
        let (word, reply) = match choice & 3 {
            0 | 1 => (Word::Yes, yes),
            2 => (Word::Never, "550 no"),
            _ => (Word::Later, "450 later"),
        };
        if choice & 4 != 0 {
            self.flush().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let lie = if self.has_lied { 0 } else { (choice >> 3) % 4 };
        self.has_lied |= lie != 0;
        let more =
            ["250 lie", "550 lie", "450 lie", "354 lie", "421 lie"][usize::from(choice >> 5) % 5];
        match lie {
            0 => self.say(reply),
            1 => {
                self.say(more);
                self.say(reply);
            }
            2 => {
                self.say(reply);
                self.say(more);
            }
            _ => self.story.push("S: (nothing)".to_owned()),
        }
        Some(word)
    }

    async fn message(&mut self) -> Option<()> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            self.story.push(format!("C: {}", line.trim_end()));
            if line == ".\r\n" {
                return self.end_of_message(&text).await;
            }
            text.push_str(&line);
        }
    }

    async fn end_of_message(&mut self, text: &str) -> Option<()> {
        if self.answer("250 taken").await? == Word::Yes {
            let number = text.strip_prefix("Subject: ").and_then(|rest| rest.get(..1));
            let number = number.unwrap_or("?").to_owned();
            self.taken.extend(self.recipients.drain(..).map(|who| (number.clone(), who)));
        }
        self.reset();
        Some(())
    }

    /// Behind a message: what is said from here on is of the next one.
    fn reset(&mut self) {
        self.sender = false;
        self.recipients.clear();
    }
}
