//! A server of a world: SMTP as a server speaks it, in the mood of the moment and with the trouble that
//! was drawn for the session.

use std::rc::Rc;
use std::sync::Arc;

use tokio::io::DuplexStream;

use super::network::Wire;
use super::plan::{Break, Phase, SECOND, Treat, Word};
use super::post;
use super::record::What;
use super::talk::{Going, Talk};
use super::world::World;

/// One session.
pub(super) struct Dialogue {
    talk: Talk,
    world: Rc<World>,
    server: usize,
    link: usize,
    /// The envelope so far.
    sender: bool,
    accepted: Vec<String>,
    /// Chunks so far.
    text: Vec<u8>,
    asked: bool,
}

impl Dialogue {
    pub(super) fn new(world: Rc<World>, wire: Arc<Wire>, io: DuplexStream) -> Self {
        let link = wire.number;
        let server = world.facts().server_of(link);
        Self {
            server,
            talk: Talk::new(Rc::clone(&world), wire, io),
            world,
            link,
            sender: false,
            accepted: Vec::new(),
            text: Vec::new(),
            asked: false,
        }
    }

    /// Speaks until one of the two hangs up.
    pub(super) async fn run(mut self) {
        let full = !self.world.enter(self.server);
        if self.begin(full).await.is_some() {
            while self.command().await.is_some() {}
        }
        if !full {
            self.world.leave(self.server);
        }
    }

    async fn begin(&mut self, full: bool) -> Going {
        let link = self.link;
        self.world.note(What::Visited { link });
        if full {
            self.world.note(What::TurnedAway { link, crowd: true });
            self.talk.say(421, "4.7.0 too many connections");
            self.talk.flush().await?;
            return None;
        }
        self.talk.reach(Phase::Greeting).await?;
        match self.world.mood(self.server).greeting {
            Word::Yes => {
                self.talk.say(220, "here");
                Some(())
            }
            word => {
                self.world.note(What::TurnedAway { link, crowd: false });
                self.talk.say(if word == Word::Never { 554 } else { 421 }, "not now");
                self.talk.flush().await?;
                None
            }
        }
    }

    async fn line(&mut self) -> Going<String> {
        self.talk.line(self.asked && !self.sender).await
    }

    async fn command(&mut self) -> Going {
        let line = self.line().await?;
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" if self.talk.nature.extended => self.hello().await,
            "HELO" => {
                self.talk.reach(Phase::Hello).await?;
                self.talk.say(250, "hi");
                Some(())
            }
            "AUTH" => self.login().await,
            "MAIL" => self.mail().await,
            "RCPT" => self.rcpt(rest).await,
            "DATA" => self.data().await,
            "BDAT" => self.chunk(rest).await,
            "RSET" => {
                self.reset();
                self.talk.say(250, "2.0.0 forgotten");
                Some(())
            }
            "QUIT" => {
                self.world.note(What::Quit { link: self.link });
                self.talk.say(221, "2.0.0 bye");
                self.talk.flush().await?;
                None
            }
            _ => {
                self.talk.say(500, "5.5.1 what?");
                Some(())
            }
        }
    }

    async fn hello(&mut self) -> Going {
        self.talk.reach(Phase::Hello).await?;
        self.talk.offer("hi");
        self.talk.offer("AUTH PLAIN LOGIN");
        for (has, name) in
            [(self.talk.nature.pipelining, "PIPELINING"), (self.talk.nature.chunking, "CHUNKING")]
        {
            if has {
                self.talk.offer(name);
            }
        }
        self.talk.say(250, "8BITMIME");
        Some(())
    }

    async fn login(&mut self) -> Going {
        let (link, mood) = (self.link, self.world.mood(self.server));
        self.world.note(What::Login { link });
        self.talk.reach(Phase::Login).await?;
        if mood.ponders < SECOND {
            self.talk.pause(mood.ponders).await?;
        } else {
            self.talk.trouble_with(Phase::Login, Break::Slow(mood.ponders)).await?;
        }
        if mood.login == Word::Leave {
            return self.talk.trouble_with(Phase::Login, Break::Leave).await;
        }
        self.world.note(What::LoggedIn { link, accepted: mood.login == Word::Yes });
        match mood.login {
            Word::Yes => self.talk.say(235, "2.7.0 welcome"),
            Word::Later => self.talk.say(454, "4.7.0 later"),
            Word::Never | Word::Leave => self.talk.say(535, "5.7.8 wrong"),
        }
        Some(())
    }

    async fn mail(&mut self) -> Going {
        self.reset();
        if !std::mem::replace(&mut self.asked, true) {
            self.world.note(What::Opened { link: self.link });
        }
        self.talk.reach(Phase::Mail).await?;
        let word = self.world.mood(self.server).mail;
        self.sender = word == Word::Yes;
        match word {
            Word::Yes => self.talk.say(250, "2.1.0 ok"),
            Word::Leave => return self.talk.leave("").await,
            // Of whatever recipients the message has.
            Word::Later => self.refuse(451, "4.3.2 not now", Vec::new()),
            Word::Never => self.refuse(550, "5.7.1 not from you", Vec::new()),
        }
        Some(())
    }

    async fn rcpt(&mut self, rest: &str) -> Going {
        if !self.sender {
            self.talk.say(503, "5.5.1 MAIL first");
            return Some(());
        }
        let address = rest.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        self.world.note(What::Asked { link: self.link, address: address.clone() });
        self.talk.reach(Phase::Rcpt).await?;
        let word = match self.world.fate(self.server, &address) {
            Treat::Refuse => Word::Never,
            Treat::Defer => Word::Later,
            Treat::Hold(time) => {
                self.talk.trouble_with(Phase::Rcpt, Break::Slow(time)).await?;
                self.world.mood(self.server).rcpt
            }
            Treat::Break => return self.talk.trouble_with(Phase::Rcpt, Break::Close).await,
            Treat::Fine | Treat::BreakAfterText { .. } => self.world.mood(self.server).rcpt,
        };
        match word {
            Word::Yes => {
                self.accepted.push(address);
                self.talk.say(250, "2.1.5 ok");
            }
            Word::Leave => return self.talk.leave("").await,
            Word::Later => self.refuse(450, "4.2.2 mailbox is full", vec![address]),
            Word::Never => self.refuse(550, "5.1.1 no such mailbox", vec![address]),
        }
        Some(())
    }

    async fn data(&mut self) -> Going {
        if self.accepted.is_empty() {
            self.talk.say(503, "5.5.1 no recipients");
            return Some(());
        }
        self.talk.reach(Phase::Data).await?;
        self.talk.say(354, "go on");
        let mut text = Vec::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            text.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
            text.push(b'\n');
            self.talk.reach(Phase::Text).await?;
        }
        self.finish(text).await
    }

    async fn chunk(&mut self, rest: &str) -> Going {
        let mut words = rest.split(' ');
        let size = words.next().and_then(|size| size.parse::<usize>().ok())?;
        let last = words.next().is_some();
        let mut chunk = vec![0; size];
        let half = size / 2;
        self.talk.bytes(&mut chunk[..half]).await?;
        self.talk.reach(Phase::Text).await?;
        self.talk.bytes(&mut chunk[half..]).await?;
        if self.accepted.is_empty() {
            self.talk.say(503, "5.5.1 no recipients");
            return Some(());
        }
        self.text.append(&mut chunk);
        if !last {
            self.talk.say(250, "2.0.0 and more");
            return Some(());
        }
        let text = std::mem::take(&mut self.text);
        self.finish(text).await
    }

    /// The text is whole.
    async fn finish(&mut self, text: Vec<u8>) -> Going {
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let (link, addresses) = (self.link, std::mem::take(&mut self.accepted));
        let message = self.world.facts().message(&post::mark(&text));
        let message = message.expect("only mail of this world is sent here");
        self.sender = false;
        self.world.note(What::Text { link, message, addresses: addresses.clone() });
        let take = |end| What::Taken { link, message, addresses: addresses.clone(), end };
        for address in &addresses {
            if let Treat::BreakAfterText { taken } = self.world.fate(self.server, address) {
                if taken {
                    self.world.note(take(u64::MAX));
                }
                return self.talk.trouble_with(Phase::Answer, Break::Close).await;
            }
        }
        let due = self.talk.trouble.filter(|one| one.phase == Phase::Answer && one.after == 0);
        let taken = due.filter(|trouble| trouble.taken).map(|trouble| trouble.how);
        if matches!(taken, Some(Break::Close | Break::Reset | Break::Hang)) {
            self.world.note(take(u64::MAX));
        }
        if due.is_some_and(|trouble| trouble.how == Break::Leave) {
            self.talk.trouble = None;
            return self.leave_after(addresses).await;
        }
        if self.talk.reach(Phase::Answer).await.is_none() {
            if matches!(taken, Some(Break::Slow(_))) {
                self.world.note(take(u64::MAX));
            }
            return None;
        }
        match self.world.mood(self.server).data {
            Word::Yes => {
                self.talk.say(250, "2.0.0 taken");
                self.world.note(take(self.talk.end()));
            }
            Word::Leave => return self.leave_after(addresses).await,
            Word::Later => self.refuse(451, "4.3.0 not this one now", addresses),
            Word::Never => self.refuse(554, "5.6.0 not this one", addresses),
        }
        Some(())
    }

    fn reset(&mut self) {
        self.sender = false;
        self.accepted.clear();
        self.text.clear();
    }

    /// A refusal of these recipients. Its text says which one it is, so that whoever quotes it can be asked.
    fn refuse(&mut self, code: u16, text: &str, addresses: Vec<String>) {
        let word = self.world.facts().words.len();
        self.talk.say(code, &format!("{text} w{word}"));
        let end = self.talk.end();
        self.world.note(What::Said { link: self.link, addresses, code, end });
    }

    /// Says of a text that it is not taken, and goes.
    async fn leave_after(&mut self, addresses: Vec<String>) -> Going {
        self.refuse(421, "4.3.2 closing", addresses);
        self.talk.flush().await?;
        None
    }
}
