//! Has the acts of a plan happen at their times: mail comes, servers change, the daemon is killed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::{sleep, sleep_until};

use super::config::Config;
use super::plan::{Act, HOUR, How, Letter, MINUTE, Mood, Part, SECOND};
use super::post::{self, Message, Report};
use super::record::What;
use super::world::{World, clock};
use crate::delivery::Wake;
use crate::mail::{Address, DeliveryRequest, Recipients, ReversePath};
use crate::spool::Stamp;
use crate::submit::{Submission, Submitter};

/// The process that hands mail in, or the first of many.
const CLIENT: u32 = 1000;

impl World {
    /// Has the acts of the plan happen, then lets everything be well until nothing waits, and stops.
    pub(super) async fn direct(&self) {
        tokio::select! {
            biased;
            () = self.long.notified() => {}
            () = self.play() => {}
        }
        for server in 0..self.plan.servers.len() {
            self.set_mood(server, Mood::well());
        }
        for part in Part::ALL {
            self.unjam(part);
        }
        self.mend();
        let patience = self.patience();
        let begun = self.now();
        let mut step = SECOND;
        while !self.is_empty() && self.now() < begun + patience {
            sleep(step).await;
            step = (step * 2).min(10 * MINUTE);
        }
        // What is served may still be on its way out of the books.
        sleep(MINUTE).await;
        self.over.set(true);
        self.wake(Wake::Stop);
        self.killed.notify_one();
    }

    async fn play(&self) {
        for (at, act) in &self.plan.acts {
            sleep_until(self.begun + *at).await;
            self.act(act);
        }
        sleep_until(self.begun + self.plan.peace).await;
    }

    /// How long it can take until nothing waits where all is well: the longest pauses, reports that wait
    /// for their hour, and the slowest pace.
    fn patience(&self) -> Duration {
        let facts = self.facts();
        let messages = u32::try_from(facts.messages.len()).unwrap_or(u32::MAX);
        let pause = facts.longest(|config| config.max_pause.max(config.pause));
        let between = facts.longest(Config::between);
        let hours =
            facts.configs.iter().map(|(_, config)| config.bounce_limit.unwrap_or(100)).min();
        let hours = u64::from(messages).div_ceil(hours.unwrap_or(1).max(1)) + 1;
        let hours = HOUR * u32::try_from(hours).unwrap_or(u32::MAX);
        pause * 5 / 2 + 3 * hours + between * 4 * (messages + 10) + 3 * HOUR
    }

    fn act(&self, act: &Act) {
        match act {
            Act::Mail(letter) => self.hand_in(letter),
            Act::Mood(server, mood) => self.set_mood(*server, mood.clone()),
            Act::Configure(config) => self.configure(config.clone()),
            Act::Jam(part) => self.jam(*part),
            Act::Unjam(part) => self.unjam(*part),
            Act::Crash(rest) => {
                self.rest.set(*rest);
                self.killed.notify_one();
            }
            Act::CrashAt(event, rest) => {
                self.rest.set(*rest);
                self.meter.stop_at(*event);
            }
            Act::Stop(rest) => {
                self.rest.set(*rest);
                self.note(What::Stopping);
                self.wake(Wake::Stop);
            }
            Act::Pull => self.pull(),
            Act::Flush => {
                self.note(What::Flush);
                self.note(What::Rescan);
                self.wake(Wake::Flush);
            }
            Act::Reload => {
                self.note(What::Reload);
                self.wake(Wake::Reload);
            }
            Act::Rescan => {
                self.note(What::Rescan);
                self.wake(Wake::Rescan);
            }
            Act::Unwatch => {
                self.note(What::Unwatched);
                self.wake(Wake::Unwatched);
            }
        }
    }

    fn configure(&self, config: Config) {
        config.write(&self.directories.config);
        let at = self.now();
        self.change(|facts| facts.configs.push((at, config)));
        self.note(What::Configured);
    }

    /// Puts control files right that cannot be used.
    fn mend(&self) {
        let config = self.facts().config().clone();
        if config.broken {
            self.configure(Config { broken: false, ..config });
        }
    }

    /// Puts a file in the place of a folder: nothing in it can be read or written.
    fn jam(&self, part: Part) {
        let (folder, aside) =
            (self.file(part.name()), self.file(&format!("{}.aside", part.name())));
        if !aside.exists() {
            fs::rename(&folder, aside).expect("it is there");
            fs::write(folder, "").expect("there is room");
            self.note(What::Jammed(part));
        }
    }

    fn unjam(&self, part: Part) {
        let (folder, aside) =
            (self.file(part.name()), self.file(&format!("{}.aside", part.name())));
        if aside.exists() {
            fs::remove_file(&folder).expect("it is there");
            fs::rename(aside, folder).expect("it is there");
            self.note(What::Unjammed(part));
        }
    }

    fn set_mood(&self, server: usize, mood: Mood) {
        let at = self.now();
        self.change(|facts| facts.change_mood(server, mood, at));
        self.note(What::Mood { server });
    }

    /// Tells the daemon something, if there is one.
    pub(super) fn wake(&self, wake: Wake) {
        if let Some(wakes) = &*self.wakes.borrow() {
            // Whoever stops hears nothing more.
            let _ = wakes.try_send(wake);
        }
    }

    fn pull(&self) {
        self.note(What::Pulled);
        self.wake(Wake::NewMail);
    }

    pub(super) fn submitter(&self, pid: u32) -> Submitter {
        let stamp = Stamp { seconds: clock().seconds, pid };
        let directories = self.directories.clone();
        Submitter { directories, kernel_name: None, stamp, uid: 0, queue_program: None }
    }

    /// Hands a letter in, as any program would. It is no mail where it cannot be written.
    fn hand_in(&self, letter: &Letter) {
        let number = self.letters.borrow().len();
        self.letters.borrow_mut().push(letter.clone());
        self.change(|facts| facts.letters.push(None));
        let sender =
            if letter.null { String::new() } else { post::sender(number % self.plan.senders) };
        let recipients = (0..letter.recipients.len()).map(|nth| {
            let address = post::recipient(number, nth);
            Address::parse(address.as_bytes()).expect("it is an address")
        });
        let text = post::text(number, letter.lines);
        let submission = Submission {
            sender: ReversePath::parse(sender.as_bytes()).expect("it is a reverse-path"),
            recipients: Recipients::new(recipients).expect("there is one"),
            request: DeliveryRequest::parse(letter.request.as_bytes()).expect("it is a request"),
            head: b"",
            body: &mut text.as_bytes(),
        };
        let nth = u32::try_from(number).expect("it is a small number");
        let pid = if self.plan.one_client { CLIENT } else { CLIENT + nth };
        self.handing_in.set(true);
        let taken = self.submitter(pid).accept(&self.spool, submission);
        self.handing_in.set(false);
        if let Err(error) = taken {
            self.note(What::NotTaken(self.placeless(&error.to_string())));
        }
    }

    /// A message got its name in the queue, whoever wrote it.
    pub(super) fn queued(&self, file: &Path, stamp: Stamp) {
        let time = UNIX_EPOCH + Duration::from_secs(stamp.seconds);
        let opened = File::open(file).and_then(|file| file.set_modified(time));
        opened.expect("it was written just now");
        let text =
            String::from_utf8_lossy(&fs::read(file).expect("it was written just now")).into_owned();
        let id = file.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let mut message = Message::read(&text, id.clone(), self.now());
        let letter = self.letters.borrow().last().filter(|_| self.handing_in.get()).cloned();
        let how = letter.as_ref().map_or(self.plan.reports, |letter| letter.how);
        if let Some(letter) = &letter {
            message.asks = !letter.request.is_empty();
            message.silent =
                letter.request.contains("NOTIFY") && !letter.request.contains("FAILURE");
        }
        let at = self.now();
        let failure = message.report == Some(Report::Failure);
        if message.report.is_some() {
            let about = post::named(&text).next().expect("it is about somebody").0;
            message.about = post::sender(about % self.plan.senders);
        }
        let told = failure.then(|| (message.about.clone(), at));
        let mut number = 0;
        self.change(|facts| {
            number = facts.add(message);
            if letter.is_some() {
                *facts.letters.last_mut().expect("it was pushed") = Some(number);
            }
            facts.told.extend(told);
            for (letter, nth) in post::named(&text).filter(|_| failure) {
                let about = facts.letters[letter].expect("only mail is reported on");
                let recipient = &mut facts.messages[about].recipients[nth];
                recipient.reported = true;
                recipient.reported_at.get_or_insert(at);
            }
        });
        self.note(What::Queued { message: number, id: id.clone() });
        self.tell(number, &id, how);
    }

    fn tell(&self, message: usize, id: &str, how: How) {
        let watched = self.facts().daemon.watched;
        if how == How::TriggerFirst {
            self.pull();
        }
        let whole = how == How::Moved;
        self.note(What::Told { message, whole });
        if watched {
            let name = vec![id.into()];
            let (whole, made) = if whole { (name, Vec::new()) } else { (Vec::new(), name) };
            self.wake(Wake::Appeared { whole, made, written: Vec::new() });
        }
        if how == How::Linked {
            self.pull();
        }
    }
}
