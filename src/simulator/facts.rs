//! What is true in a world at a moment, gathered from its events. The laws read it and change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use super::network::Wire;
use super::news::News;
use super::plan::{Break, Mood, Phase, Word};
use super::post::Message;
use super::record::{Copy, Said, What};

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) messages: Vec<Message>,
    /// The message of each letter; none where it was not taken.
    pub(super) letters: Vec<Option<usize>>,
    /// Folders that cannot be used, and when the last one could be again.
    pub(super) jams: usize,
    pub(super) unjammed: Duration,
    pub(super) by_id: BTreeMap<String, usize>,
    by_mark: BTreeMap<String, usize>,
    pub(super) links: Vec<Link>,
    pub(super) servers: Vec<Server>,
    /// Every configuration that was on the disk, and since when.
    pub(super) configs: Vec<(Duration, Config)>,
    /// The last of them that the daemon has told of.
    pub(super) adopted: usize,
    pub(super) daemon: Daemon,
    pub(super) words: Vec<Said>,
    /// Which senders were told that their mail has failed, and when.
    pub(super) told: Vec<(String, Duration)>,
}

#[derive(Debug, Default)]
pub(super) struct Daemon {
    /// Which one it is, counted from 1.
    pub(super) life: usize,
    pub(super) since: Duration,
    pub(super) runs: bool,
    pub(super) stops: bool,
    pub(super) watched: bool,
    /// When everything was last to be tried.
    pub(super) flushed: Duration,
    /// When nothing was under way any more, last.
    pub(super) idle: Option<Duration>,
    /// When the trigger was last heard.
    pub(super) pulled: Option<Duration>,
    /// Sessions that failed or broke: whoever waited for one of them waits anew.
    pub(super) setbacks: u32,
    /// When the last ones were killed or stopped.
    pub(super) ends: Vec<Duration>,
}

/// A server as the daemon that lives may know it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) mood: Mood,
    mood_since: Duration,
    /// Connections that are in trouble and not closed yet, and when the last one was.
    troubled: usize,
    pub(super) troubled_until: Duration,
    /// Failures since a session was last open, and when the last one was.
    pub(super) failures: u32,
    pub(super) failed: Duration,
    /// When a session was first open again after failures.
    pub(super) recovered: Duration,
    /// There was a mood in which it refuses every message.
    pub(super) ever_refused_mail: bool,
}

/// A connection, from when it was dialled.
#[allow(clippy::struct_excessive_bools, reason = "each of these has happened or not")]
#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: usize,
    pub(super) life: usize,
    pub(super) dialled: Duration,
    pub(super) closed: Option<Duration>,
    pub(super) wire: Arc<Wire>,
    pub(super) visited: bool,
    /// The server has turned it away because it has too many.
    pub(super) crowded: bool,
    pub(super) troubled: bool,
    pub(super) open: bool,
    pub(super) quit: bool,
    pub(super) login: Option<Login>,
    /// Whose texts came over it.
    pub(super) carried: BTreeSet<usize>,
    /// Who is asked for in the transaction that goes on.
    pub(super) asked: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Login {
    pub(super) begun: Duration,
    /// When it was known not to succeed.
    pub(super) failed: Option<Duration>,
    pub(super) accepted: bool,
    /// The server has said so.
    pub(super) refused: bool,
}

impl Server {
    pub(super) fn new(mood: Mood) -> Self {
        Self {
            mood,
            mood_since: Duration::ZERO,
            troubled: 0,
            troubled_until: Duration::ZERO,
            failures: 0,
            failed: Duration::ZERO,
            recovered: Duration::ZERO,
            ever_refused_mail: false,
        }
    }

    fn recover(&mut self, at: Duration) {
        if std::mem::take(&mut self.failures) > 0 {
            self.recovered = at;
        }
    }

    /// Since when it is well and nothing hangs at it.
    pub(super) fn well_since(&self) -> Option<Duration> {
        let is_well = self.mood.is_well() && self.troubled == 0;
        is_well.then(|| self.mood_since.max(self.troubled_until))
    }
}

impl Link {
    /// The client has it, and the server does not make trouble.
    pub(super) fn is_in_use(&self, life: usize) -> bool {
        self.life == life && self.closed.is_none() && self.visited && !self.crowded
    }
}

impl Facts {
    /// The configuration on the disk.
    pub(super) fn config(&self) -> &Config {
        &self.configs.last().expect("there is one from the start").1
    }

    /// The longest that a time of the configuration has ever been.
    pub(super) fn longest(&self, time: impl Fn(&Config) -> Duration) -> Duration {
        self.configs.iter().map(|(_, config)| time(config)).max().unwrap_or_default()
    }

    pub(super) fn shortest_pause(&self) -> Duration {
        self.configs.iter().map(|(_, config)| config.pause).min().unwrap_or_default()
    }

    pub(super) fn message(&self, mark: &str) -> Option<usize> {
        self.by_mark.get(mark).copied()
    }

    pub(super) fn has_read(&self, said: &Said) -> bool {
        self.links[said.link].wire.has_read(said.end)
    }

    pub(super) fn server_of(&self, link: usize) -> usize {
        self.links[link].server
    }

    pub(super) fn add(&mut self, message: Message) -> usize {
        let number = self.messages.len();
        self.by_id.insert(message.id.clone(), number);
        self.by_mark.insert(message.mark.clone(), number);
        self.messages.push(message);
        number
    }

    pub(super) fn dial(&mut self, at: Duration, server: usize, wire: Arc<Wire>) {
        self.links.push(Link {
            server,
            life: self.daemon.life,
            dialled: at,
            closed: None,
            wire,
            visited: false,
            crowded: false,
            troubled: false,
            open: false,
            quit: false,
            login: None,
            carried: BTreeSet::new(),
            asked: BTreeSet::new(),
        });
    }

    pub(super) fn take(&mut self, at: Duration, what: &What) {
        match what {
            What::Begun => self.begin(at),
            What::Stopping => self.daemon.stops = true,
            What::Stopped | What::Crashed => {
                self.daemon.runs = false;
                self.daemon.ends.push(at);
            }
            What::Flush => self.daemon.flushed = at,
            What::Pulled => self.pulled(at),
            What::Rescan => self.know(|_| true, at),
            What::Unwatched => {
                self.daemon.watched = false;
                self.know(|_| true, at);
            }
            What::Jammed(_) => self.jams += 1,
            What::Unjammed(_) => {
                self.jams -= 1;
                self.unjammed = at;
            }
            What::Told { message, whole } => self.told(*message, *whole, at),
            What::Visited { link } => self.links[*link].visited = true,
            What::Troubled { link, how: Break::Leave, phase: Phase::Login } => self.left(*link),
            What::Troubled { link, how, .. } if *how != Break::Leave => self.trouble(*link),
            What::TurnedAway { link, crowd } => self.links[*link].crowded = *crowd,
            What::Login { link } => {
                self.links[*link].login = Some(Login { begun: at, ..Login::default() });
            }
            What::LoggedIn { link, accepted } => {
                if let Some(login) = &mut self.links[*link].login {
                    (login.accepted, login.refused) = (*accepted, !accepted);
                    login.failed = (!accepted).then_some(at);
                }
            }
            What::Opened { link } => {
                self.links[*link].open = true;
                let server = self.server_of(*link);
                self.servers[server].recover(at);
            }
            What::Quit { link } | What::Tired { link } => self.links[*link].quit = true,
            What::Asked { link, address } => {
                self.links[*link].asked.insert(address.clone());
            }
            What::Said { link, addresses, code, end } => {
                let (link, code, end) = (*link, *code, *end);
                self.words.push(Said { at, link, addresses: addresses.clone(), code, end });
            }
            What::Text { link, message, .. } => {
                self.links[*link].carried.insert(*message);
            }
            What::Taken { link, message, addresses, end } => {
                self.taken(at, *link, *message, addresses, *end);
            }
            What::Closed { link } => self.close(*link, at),
            What::Logged(line) => {
                if let Some(news) = News::read(line) {
                    self.hear(news, at);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, at: Duration) {
        let Daemon { life, watched, .. } = self.daemon;
        self.daemon = Daemon {
            life: life + 1,
            since: at,
            runs: true,
            watched,
            flushed: at,
            ends: std::mem::take(&mut self.daemon.ends),
            ..Daemon::default()
        };
        // What the daemon before it was about is no concern of this one.
        self.messages.iter_mut().for_each(Message::leave);
        self.adopted = self.configs.len() - 1;
        self.servers.iter_mut().for_each(|server| server.recover(at));
        self.know(|_| true, at);
    }

    pub(super) fn change_mood(&mut self, server: usize, mood: Mood, at: Duration) {
        let server = &mut self.servers[server];
        server.ever_refused_mail |= mood.mail == Word::Never;
        (server.mood, server.mood_since) = (mood, at);
    }

    /// The server has said 421 to a login: where it has other sessions of ours, the login is not to blame.
    fn left(&mut self, link: usize) {
        if self.has_others(link) {
            self.links[link].login = None;
        }
    }

    /// The server has other sessions of this daemon.
    fn has_others(&self, link: usize) -> bool {
        let Link { server, life, .. } = self.links[link];
        let mut links = self.links.iter().enumerate().filter(|(number, _)| *number != link);
        links.any(|(_, other)| other.server == server && other.is_in_use(life))
    }

    /// Something hangs at the server that the daemon has to sit out.
    fn trouble(&mut self, link: usize) {
        if !std::mem::replace(&mut self.links[link].troubled, true)
            && self.links[link].closed.is_none()
        {
            let server = self.server_of(link);
            self.servers[server].troubled += 1;
        }
    }

    fn close(&mut self, link: usize, at: Duration) {
        let Link { server, life, open, quit, troubled, crowded, .. } = self.links[link];
        // Where it has others, one that is too many is no failure.
        let is_failure = !(open && quit || crowded && self.has_others(link));
        let one = &mut self.links[link];
        one.closed = Some(at);
        if let Some(login) = one.login.as_mut().filter(|login| !login.accepted) {
            login.failed.get_or_insert(at);
        }
        // A session that failed is no line about the messages that were to go over it.
        for message in self.messages.iter_mut().filter(|one| one.is_bound_for(server)) {
            message.last = at;
        }
        let server = &mut self.servers[server];
        if troubled {
            server.troubled -= 1;
            server.troubled_until = at;
        }
        if is_failure && life == self.daemon.life {
            server.failures += 1;
            server.failed = at;
            self.daemon.setbacks += 1;
        }
    }

    fn taken(&mut self, at: Duration, link: usize, message: usize, to: &[String], end: u64) {
        let copy = Copy { at, link, wire: Arc::clone(&self.links[link].wire), end };
        let recipients = self.messages[message].recipients.iter_mut();
        for recipient in recipients.filter(|one| to.contains(&one.address)) {
            recipient.copies.push(copy.clone());
        }
    }

    /// The daemon knows of these messages by then.
    fn know(&mut self, which: impl Fn(&Message) -> bool, by: Duration) {
        if self.daemon.runs {
            for message in self.messages.iter_mut().filter(|message| which(message)) {
                message.known = Some(message.known.map_or(by, |known| known.min(by)));
            }
        }
    }

    fn pulled(&mut self, at: Duration) {
        self.daemon.pulled = Some(at);
        // What the trigger was pulled for is told of by then, or read.
        self.know(|_| true, at);
    }

    fn told(&mut self, message: usize, whole: bool, at: Duration) {
        let heard = self.daemon.pulled.is_some_and(|pulled| at < pulled + Duration::from_secs(1));
        let by = match (self.daemon.watched, whole || heard) {
            (true, true) => at,
            // A name alone may be of a file that is being written.
            (true, false) => at + Duration::from_secs(10),
            (false, _) => at + Duration::from_secs(60),
        };
        let id = self.messages[message].id.clone();
        self.know(|message| message.id == id, by);
    }

    fn hear(&mut self, news: News<'_>, at: Duration) {
        let id = match news {
            News::Configured => {
                self.adopted = self.configs.len() - 1;
                return;
            }
            News::Complete => {
                self.daemon.idle = Some(at);
                return;
            }
            News::Offered { id, .. }
            | News::Verdict { id, .. }
            | News::Owed { id }
            | News::Warned { id }
            | News::Aside { id } => id,
            _ => return,
        };
        if let Some(message) = self.by_id.get(id) {
            self.messages[*message].hear(news, at);
        }
    }

    /// Whether a server that makes trouble has it now.
    pub(super) fn is_held(&self, message: &Message) -> bool {
        if self.servers.iter().all(|server| server.troubled == 0) {
            return false;
        }
        let mut links =
            self.links.iter().rev().filter(|link| {
                link.life == self.daemon.life && link.closed.is_none() && link.troubled
            });
        links.any(|link| {
            let is_asked = message.recipients.iter().any(|one| link.asked.contains(&one.address));
            is_asked || message.is_bound_for(link.server)
        })
    }
}
