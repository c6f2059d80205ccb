//! Draws a world from a seed.

use std::time::Duration;

use super::config::{Config, Line};
use super::draw::Draw;
use super::plan::{
    Act, Fate, HOUR, How, Letter, MINUTE, Mood, Nature, Part, Plan, Reach, SECOND, Treat, Word,
};

/// What the parts of a world have in common.
struct Frame {
    draw: Draw,
    servers: usize,
    natures: Vec<Nature>,
    /// `pausetime`: what happens is spread over times of its order.
    pause: Duration,
    /// When the last thing happens.
    end: Duration,
    rate: Option<(u32, u32)>,
    acts: Vec<(Duration, Act)>,
}

pub(super) fn plan(seed: u64) -> Plan {
    let mut draw = Draw::new(seed, 0);
    let servers = draw.pick(&[1, 1, 1, 1, 2, 2, 3]);
    let pause = draw.span(2 * SECOND, 5 * MINUTE);
    let pause = Duration::from_secs(pause.as_secs());
    let end = draw.span(4 * pause, 400 * pause).min(72 * HOUR);
    let rates = [None, None, None, Some((2, 1)), Some((1, 1)), Some((30, 60)), Some((100, 3600))];
    let rate = draw.pick(&rates);
    let natures = (0..servers).map(|_| nature(&mut draw)).collect();
    let mut frame = Frame { draw, servers, natures, pause, end, rate, acts: Vec::new() };
    let config = frame.config();
    let watched = frame.draw.chance(75);
    let one_client = frame.draw.chance(20);
    let senders = frame.draw.pick(&[1, 1, 2, usize::MAX]);
    let reports = frame.how();
    for server in 0..servers {
        frame.moods(server);
    }
    for _ in 0..frame.draw.between(1, 4) {
        frame.mail();
    }
    frame.edits(&config);
    frame.fates_of_the_daemon(watched);
    frame.jams();
    let Frame { mut acts, natures, .. } = frame;
    acts.sort_by_key(|(at, _)| *at);
    let servers = natures;
    Plan { seed, servers, config, watched, one_client, senders, reports, acts, peace: end }
}

fn nature(draw: &mut Draw) -> Nature {
    let idle = [None, None, Some(SECOND), Some(3 * SECOND), Some(5 * SECOND)];
    let latency = draw.span(SECOND / 1000, SECOND / 8);
    Nature {
        pipelining: draw.chance(75),
        chunking: draw.chance(50),
        extended: draw.chance(95),
        idle: draw.pick(&idle),
        latency,
    }
}

impl Frame {
    fn time(&mut self) -> Duration {
        let end = u64::try_from(self.end.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.draw.below(end + 1))
    }

    /// Of the order of a pause.
    fn while_(&mut self) -> Duration {
        self.draw.span(self.pause / 4, self.pause * 30)
    }

    fn seconds(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_secs(self.draw.span(low, high).as_secs().max(1))
    }

    fn config(&mut self) -> Config {
        let remotes = (0..self.servers).map(|server| self.line(server)).collect();
        let max_pause = self.pause * self.draw.pick(&[1, 2, 8, 60, 300]);
        let lifetime = self.pause * self.draw.pick(&[3, 20, 100, 2000]);
        let warning = self.seconds(self.pause, self.pause * 10);
        let draw = &mut self.draw;
        Config {
            remotes,
            pause: self.pause,
            max_pause: max_pause.min(24 * HOUR),
            lifetime: lifetime.min(168 * HOUR),
            send_timeout: draw.pick(&[None, None, Some(MINUTE), Some(10 * MINUTE)]),
            rate: self.rate,
            bounce_limit: draw.pick(&[None, None, None, Some(1), Some(2), Some(5)]),
            delay_warning: draw.chance(40).then_some(warning),
            bounce_to: draw.chance(15),
            broken: false,
        }
    }

    fn line(&mut self, server: usize) -> Line {
        let draw = &mut self.draw;
        Line {
            server,
            connections: draw.pick(&[None, None, Some(1), Some(2), Some(3), Some(6)]),
            messages: draw.pick(&[None, None, None, Some(1), Some(3)]),
            step_limit: draw.pick(&[None, None, Some(5 * SECOND), Some(20 * SECOND)]),
            // Who knows no EHLO knows no AUTH.
            login: draw.chance(35) && self.natures[server].extended,
        }
    }

    fn moods(&mut self, server: usize) {
        let mut at = if self.draw.chance(50) { Duration::ZERO } else { self.while_() };
        for _ in 0..self.draw.below(5) {
            let mood = self.mood();
            self.acts.push((at, Act::Mood(server, mood)));
            at += self.while_();
            if at > self.end {
                break;
            }
        }
        if self.draw.chance(50) {
            self.acts.push((at.min(self.end), Act::Mood(server, Mood::well())));
        }
    }

    fn mood(&mut self) -> Mood {
        let draw = &mut self.draw;
        let well = Mood::well();
        let no = draw.pick(&[Word::Later, Word::Never, Word::Leave]);
        let later = draw.pick(&[Word::Later, Word::Later, Word::Leave]);
        match draw.below(100) {
            0..15 => well,
            15..35 => Mood { capacity: draw.pick(&[1, 1, 2, 3]), ..well },
            35..45 => Mood { reach: Reach::Refused, ..well },
            45..50 => Mood { reach: Reach::Silent, ..well },
            50..53 => Mood { reach: Reach::Nameless, ..well },
            53..58 => Mood { greeting: no, ..well },
            58..70 => {
                let ponders = draw.span(SECOND / 1000, 20 * SECOND);
                Mood { login: no, ponders, ..well }
            }
            70..73 => Mood { mail: later, ..well },
            73..77 => Mood { rcpt: no, ..well },
            77..81 => Mood { data: no, ..well },
            81..90 => Mood {
                capacity: draw.pick(&[1, 2, 3, 1000]),
                troubled: draw.between(10, 50),
                ..well
            },
            _ => Mood { troubled: draw.between(10, 90), ..well },
        }
    }

    /// Some letters: at once, in a row, now and then, or in a stream that is more than a limit lets out.
    fn mail(&mut self) {
        let begin = self.time();
        let (count, between) = match self.draw.below(4) {
            0 => (self.draw.between(2, 25), self.draw.span(SECOND / 1000, SECOND / 10)),
            1 => (self.draw.between(5, 15), self.draw.span(SECOND, 12 * SECOND)),
            2 if self.rate == Some((2, 1)) => (self.draw.between(100, 300), SECOND / 4),
            2 if self.rate == Some((1, 1)) => (self.draw.between(100, 300), SECOND / 2),
            _ => (self.draw.between(1, 10), self.while_()),
        };
        let how = self.how();
        let plain = self.draw.chance(50);
        for nth in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            let at = begin + between * nth;
            if at > self.end + HOUR {
                return;
            }
            let mut letter =
                if plain && self.draw.chance(80) { Letter::plain() } else { self.letter() };
            letter.how = if self.draw.chance(90) { how } else { self.how() };
            self.acts.push((at, Act::Mail(letter)));
        }
    }

    fn how(&mut self) -> How {
        self.draw.pick(&[How::Linked, How::Linked, How::Unheard, How::TriggerFirst, How::Moved])
    }

    fn letter(&mut self) -> Letter {
        let count = self.draw.pick(&[1, 1, 1, 2, 3, 5]);
        let recipients = (0..count).map(|_| self.fate()).collect();
        let echo = if self.draw.chance(80) { Fate::fine() } else { self.fate() };
        let draw = &mut self.draw;
        Letter {
            null: draw.chance(10),
            recipients,
            echo,
            request: draw.pick(&[
                "",
                "",
                "",
                "",
                "NOTIFY=NEVER",
                "NOTIFY=SUCCESS",
                "NOTIFY=FAILURE,DELAY RET=HDRS",
                "NOTIFY=FAILURE ENVID=x",
            ]),
            lines: draw.pick(&[3, 3, 3, 3, 30, 3000]),
            how: How::Linked,
        }
    }

    fn fate(&mut self) -> Fate {
        let hold = self.draw.span(SECOND, 6 * MINUTE);
        let taken = self.draw.chance(50);
        let how = match self.draw.below(100) {
            0..50 => Treat::Fine,
            50..65 => Treat::Refuse,
            65..80 => Treat::Defer,
            80..85 => Treat::Hold(hold),
            85..90 => Treat::Break,
            _ => Treat::BreakAfterText { taken },
        };
        let on = usize::try_from(self.draw.below(self.servers as u64)).expect("a small number");
        let on = self.draw.chance(30).then_some(on);
        let until = match how {
            Treat::Refuse => Duration::MAX,
            _ => self.time() + self.while_(),
        };
        Fate { how, on, until }
    }

    /// The administrator edits the control files.
    fn edits(&mut self, config: &Config) {
        let mut config = config.clone();
        for _ in 0..self.draw.pick(&[0, 0, 0, 1, 2]) {
            config.broken = false;
            match self.draw.below(7) {
                6 => config.broken = true,
                0 => config.remotes.rotate_left(1),
                1 if config.remotes.len() > 1 => drop(config.remotes.pop()),
                2 => {
                    config.remotes = (0..self.servers).map(|server| self.line(server)).collect();
                }
                3 => config.rate = self.draw.pick(&[None, Some((1, 1)), Some((30, 60))]),
                4 => config.delay_warning = self.draw.pick(&[None, Some(10 * self.pause)]),
                _ => {
                    let at = usize::try_from(self.draw.below(config.remotes.len() as u64));
                    let line = &mut config.remotes[at.expect("a small number")];
                    line.connections = self.draw.pick(&[Some(1), Some(2), None]);
                }
            }
            let at = self.time();
            self.acts.push((at, Act::Configure(config.clone())));
            match self.draw.below(3) {
                0 => self.acts.push((at, Act::Reload)),
                1 => self.acts.push((at, Act::Mail(Letter::plain()))),
                _ => {}
            }
        }
    }

    /// The disk is full, or somebody has taken a right away.
    fn jams(&mut self) {
        for part in Part::ALL.into_iter().filter(|_| self.draw.chance(4)).collect::<Vec<_>>() {
            let (at, lasts) = (self.time(), self.while_());
            self.acts.push((at, Act::Jam(part)));
            self.acts.push((at + lasts, Act::Unjam(part)));
        }
    }

    /// It is killed, stopped, or told to do something.
    fn fates_of_the_daemon(&mut self, watched: bool) {
        let is_hard = self.draw.chance(35);
        for _ in 0..if is_hard { self.draw.between(1, 6) } else { 0 } {
            let (at, rest) = (self.time(), self.draw.span(SECOND / 100, 2 * MINUTE));
            let event = self.draw.between(1, 200);
            let act = match self.draw.below(10) {
                0..3 => Act::Crash(rest),
                3..8 => Act::CrashAt(event, rest),
                _ => Act::Stop(rest),
            };
            self.acts.push((at, act));
        }
        for _ in 0..self.draw.pick(&[0, 0, 1, 3]) {
            let at = self.time();
            let act = self.draw.pick(&[Act::Pull, Act::Pull, Act::Flush, Act::Reload, Act::Rescan]);
            self.acts.push((at, act));
        }
        if watched && self.draw.chance(5) {
            let at = self.time();
            self.acts.push((at, Act::Unwatch));
        }
    }
}
