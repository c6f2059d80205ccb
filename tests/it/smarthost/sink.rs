//! A working SMTP server that keeps what it is sent.
//!
//! ```ignore
//! let sink = Sink::new()
//!     .offers(&["PIPELINING", "SIZE 1000000"])
//!     .answers("RCPT TO:<gone@*", "550 5.1.1 no such mailbox")
//!     .answers_once("RCPT TO:<grey@*", "450 4.7.1 later")
//!     .starttls(&certificates);
//! house.control("remotes", &sink.remote(""));
//! // ... run ...
//! let mail = sink.wait_for(1);
//! assert_eq!(mail[0].recipients, ["a@x.example"]);
//! ```

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::{Acceptor, Certificates, Listener, PATIENCE, Stream, fits};

/// What the sink does when a command fits a pattern.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A reply; `\n` separates its lines, which are sent as they are.
    Say(String),
    /// Silence until the client goes.
    Hang,
    /// Silence until the rule is forgotten, and then the usual.
    Hold,
    /// The end of the connection.
    Close,
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::Say(text.to_owned())
    }
}

/// A message that was accepted.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which connection it came over, from 0.
    pub connection: usize,
    pub secure: bool,
    /// Whether its TLS took up an earlier session.
    pub resumed: bool,
    /// The argument of EHLO or HELO.
    pub helo: String,
    pub sender: String,
    /// What stood behind the sender's address.
    pub parameters: String,
    /// Those that were accepted.
    pub recipients: Vec<String>,
    /// The message, with its dots unstuffed and its line ends as they came.
    pub data: Vec<u8>,
}

impl Received {
    /// The message with LF line ends.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).replace("\r\n", "\n")
    }
}

pub struct Sink {
    listener: Option<Listener>,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    offers: Vec<String>,
    answers: Vec<Rule>,
    tls: Option<Acceptor>,
    implicit: bool,
    connections: usize,
    open: usize,
    most_open: usize,
    commands: Vec<(usize, String)>,
    messages: Vec<Received>,
}

struct Rule {
    pattern: String,
    answer: Answer,
    once: bool,
}

impl Sink {
    /// A sink that offers nothing and accepts everything.
    pub fn new() -> Self {
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let ours = state.clone();
        let listener = Listener::start(move |number, stream| {
            let talk = Talk { state: ours.clone(), number, stream, helo: String::new() };
            let _ = { talk }.serve();
        });
        Self { listener: Some(listener), state }
    }

    /// The keywords of its EHLO reply, from now on.
    pub fn offers(self, keywords: &[&str]) -> Self {
        self.state().offers = keywords.iter().map(|keyword| (*keyword).to_owned()).collect();
        self
    }

    /// Answers commands that fit `pattern` (`*` is anything) so. The first rule that fits counts.
    /// `CONNECT` is the greeting, `HANDSHAKE` what is said in the place of one after STARTTLS, `BODY` what is said
    /// in the middle of a message, before the end of the connection, and `.` the end of a message, by DATA or BDAT.
    pub fn answers(self, pattern: &str, answer: impl Into<Answer>) -> Self {
        self.rule(pattern, answer.into(), false)
    }

    /// The same, one time.
    pub fn answers_once(self, pattern: &str, answer: impl Into<Answer>) -> Self {
        self.rule(pattern, answer.into(), true)
    }

    fn rule(self, pattern: &str, answer: Answer, once: bool) -> Self {
        self.state().answers.push(Rule { pattern: pattern.to_owned(), answer, once });
        self
    }

    /// Sets a rule while the sink runs; it counts before all earlier ones.
    pub fn answers_now(&self, pattern: &str, answer: impl Into<Answer>) {
        let rule = Rule { pattern: pattern.to_owned(), answer: answer.into(), once: false };
        self.state().answers.insert(0, rule);
    }

    /// Forgets the rules for `pattern`.
    pub fn accept(&self, pattern: &str) {
        self.state().answers.retain(|rule| rule.pattern != pattern);
        self.state.1.notify_all();
    }

    /// Forgets every rule: from now on everything is accepted.
    pub fn accept_everything(&self) {
        self.state().answers.clear();
        self.state.1.notify_all();
    }

    pub fn starttls(self, certificates: &Certificates) -> Self {
        self.state().tls = Some(certificates.server.clone());
        self
    }

    pub fn implicit_tls(self, certificates: &Certificates) -> Self {
        self.state().implicit = true;
        self.starttls(certificates)
    }

    pub fn port(&self) -> u16 {
        self.listener.as_ref().expect("the sink listens").port()
    }

    /// A line for `remotes`, with further options behind it.
    pub fn remote(&self, options: &str) -> String {
        format!("127.0.0.1 smtp --port={} {options}\n", self.port())
    }

    /// Stops listening and ends every connection; [`Sink::port`] is then refused.
    pub fn stop(&mut self) {
        self.listener = None;
    }

    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// The most connections that were open at once, until the answer to QUIT.
    pub fn most_at_once(&self) -> usize {
        self.state().most_open
    }

    /// Every command line, in the order they came.
    pub fn commands(&self) -> Vec<String> {
        self.state().commands.iter().map(|(_, command)| command.clone()).collect()
    }

    /// The messages that were accepted.
    pub fn messages(&self) -> Vec<Received> {
        self.state().messages.clone()
    }

    /// The only message that was accepted.
    #[track_caller]
    pub fn only_message(&self) -> Received {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{messages:#?}");
        messages.remove(0)
    }

    /// Waits until so many messages have been accepted.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(&format!("{count} messages"), |state| state.messages.len() >= count);
        self.messages()
    }

    /// Waits until a command that fits `pattern` has come.
    #[track_caller]
    pub fn wait_for_command(&self, pattern: &str) {
        self.wait_until(pattern, |state| {
            state.commands.iter().any(|(_, command)| fits(pattern, command))
        });
    }

    #[track_caller]
    fn wait_until(&self, what: &str, done: impl Fn(&State) -> bool) {
        let (state, changed) = &*self.state;
        let (state, late) = changed
            .wait_timeout_while(state.lock().unwrap(), PATIENCE, |state| !done(state))
            .unwrap();
        assert!(!late.timed_out(), "{what} never came; heard {:?}", state.commands);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }
}

/// One connection.
struct Talk {
    state: Arc<(Mutex<State>, Condvar)>,
    number: usize,
    stream: Stream,
    helo: String,
}

/// A transaction that has begun.
#[derive(Default)]
struct Open {
    sender: String,
    parameters: String,
    recipients: Vec<String>,
    data: Vec<u8>,
}

impl Talk {
    /// `None` is the end of the connection, whoever wanted it.
    fn serve(mut self) -> Option<()> {
        let (tls, implicit) = {
            let mut state = self.state.0.lock().unwrap();
            state.connections += 1;
            state.open += 1;
            state.most_open = state.most_open.max(state.open);
            (state.tls.clone(), state.implicit)
        };
        self.state.1.notify_all();
        let state = self.state.clone();
        let end = self.talk(tls, implicit);
        if end.is_none() {
            state.0.lock().unwrap().open -= 1;
        }
        end
    }

    fn talk(&mut self, tls: Option<Acceptor>, implicit: bool) -> Option<()> {
        if implicit {
            self.stream.secure(tls.clone().expect("implicit TLS has certificates"))?;
        }
        self.answer("CONNECT", "220 sink.example ESMTP")?;
        let mut open: Option<Open> = None;
        loop {
            let line = String::from_utf8_lossy(&self.stream.line()?).into_owned();
            self.heard(&line);
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    argument.clone_into(&mut self.helo);
                    let reply = self.ehlo();
                    self.answer(&line, &reply)?;
                    open = None;
                }
                "HELO" => {
                    argument.clone_into(&mut self.helo);
                    self.answer(&line, "250 sink.example")?;
                }
                "STARTTLS" => {
                    if self.answer(&line, "220 go on")? {
                        self.interrupt("HANDSHAKE")?;
                        self.stream.secure(tls.clone()?)?;
                        open = None;
                    }
                }
                "MAIL" => {
                    if self.answer(&line, "250 2.1.0 ok")? {
                        let (sender, parameters) = path(argument);
                        open = Some(Open { sender, parameters, ..Open::default() });
                    }
                }
                "RCPT" => match &mut open {
                    None => self.say("503 5.5.1 MAIL first")?,
                    Some(open) => {
                        if self.answer(&line, "250 2.1.5 ok")? {
                            open.recipients.push(path(argument).0);
                        }
                    }
                },
                "DATA" => match open.take() {
                    Some(mut taken) if !taken.recipients.is_empty() => {
                        if self.answer(&line, "354 go on")? {
                            taken.data = self.message()?;
                            self.finish(taken)?;
                        }
                    }
                    _ => self.say("554 5.5.1 no valid recipients")?,
                },
                "BDAT" => {
                    let mut words = argument.split(' ');
                    let count = words.next().and_then(|count| count.parse().ok())?;
                    let chunk = self.stream.bytes(count)?;
                    let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
                    match &mut open {
                        Some(begun) if !begun.recipients.is_empty() => {
                            begun.data.extend_from_slice(&chunk);
                            if last {
                                self.finish(open.take().expect("it was begun"))?;
                            } else {
                                self.answer(&line, "250 2.0.0 ok")?;
                            }
                        }
                        _ => self.say("503 5.5.1 no valid recipients")?,
                    }
                }
                "RSET" => {
                    open = None;
                    self.answer(&line, "250 2.0.0 ok")?;
                }
                "AUTH" => {
                    self.answer(&line, "235 2.7.0 welcome")?;
                }
                "QUIT" => {
                    let (say, _) = self.choose(&line, "221 2.0.0 bye")?;
                    // Who has read the answer may come again.
                    self.state.0.lock().unwrap().open -= 1;
                    self.say(&say);
                    return Some(());
                }
                _ => drop(self.answer(&line, "500 5.5.2 what")?),
            }
        }
    }

    fn ehlo(&self) -> String {
        let state = self.state.0.lock().unwrap();
        let mut lines = vec!["sink.example".to_owned()];
        lines.extend(state.offers.iter().cloned());
        if state.tls.is_some() && !self.stream.is_secure() {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        let line = |(at, line): (usize, &String)| {
            format!("250{}{line}", if at == last { ' ' } else { '-' })
        };
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The lines up to the lone dot, unstuffed.
    fn message(&mut self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let line = self.stream.line()?;
            self.interrupt("BODY")?;
            if line == b"." {
                return Some(data);
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            data.extend_from_slice(b"\r\n");
        }
    }

    fn finish(&mut self, open: Open) -> Option<()> {
        self.heard(".");
        let received = Received {
            connection: self.number,
            secure: self.stream.is_secure(),
            resumed: self.stream.is_resumed() == Some(true),
            helo: self.helo.clone(),
            sender: open.sender,
            parameters: open.parameters,
            recipients: open.recipients,
            data: open.data,
        };
        let (say, accepted) = self.choose(".", "250 2.0.0 taken")?;
        if accepted {
            // Kept before it is acknowledged, so that who waits for either sees both.
            self.state.0.lock().unwrap().messages.push(received);
            self.state.1.notify_all();
        }
        self.say(&say)
    }

    /// Says what the rules want, else `usual`. True if that was positive.
    fn answer(&mut self, command: &str, usual: &str) -> Option<bool> {
        let (say, positive) = self.choose(command, usual)?;
        self.say(&say)?;
        Some(positive)
    }

    /// What the rules want said where nothing is to be said: it ends the connection.
    fn interrupt(&mut self, point: &str) -> Option<()> {
        let (say, _) = self.choose(point, "")?;
        if say.is_empty() {
            return Some(());
        }
        self.say(&say);
        self.stream.close();
        None
    }

    fn choose(&mut self, command: &str, usual: &str) -> Option<(String, bool)> {
        let answer = {
            let mut state = self.state.0.lock().unwrap();
            let found = state.answers.iter().position(|rule| fits(&rule.pattern, command));
            match found {
                Some(at) if state.answers[at].once => state.answers.remove(at).answer,
                Some(at) => state.answers[at].answer.clone(),
                None => Answer::Say(usual.to_owned()),
            }
        };
        match answer {
            Answer::Say(text) => {
                let positive = text.starts_with(['2', '3']);
                Some((text, positive))
            }
            Answer::Hang => {
                self.stream.rest();
                None
            }
            Answer::Hold => {
                let state = self.state.0.lock().unwrap();
                let held = |state: &mut State| {
                    state.answers.iter().any(|rule| fits(&rule.pattern, command))
                };
                drop(self.state.1.wait_timeout_while(state, PATIENCE, held).unwrap());
                Some((usual.to_owned(), true))
            }
            Answer::Close => None,
        }
    }

    fn say(&mut self, text: &str) -> Option<()> {
        self.stream.send((text.replace('\n', "\r\n") + "\r\n").as_bytes()).ok()
    }

    fn heard(&self, command: &str) {
        self.state.0.lock().unwrap().commands.push((self.number, command.to_owned()));
        self.state.1.notify_all();
    }
}

/// `FROM:<a@b> SIZE=1` → the address, and what stands behind it.
fn path(argument: &str) -> (String, String) {
    let inner = argument.split_once('<').map_or(argument, |(_, inner)| inner);
    let (address, rest) = inner.rsplit_once('>').unwrap_or((inner, ""));
    (address.to_owned(), rest.trim_start().to_owned())
}
