//! Worlds that were written by hand: for each fault that was found, the shortest that shows it.

use std::time::Duration;

use super::config::{Config, Line};
use super::plan::{
    Act, Fate, HOUR, How, Letter, MINUTE, Mood, Nature, Part, Plan, Reach, SECOND, Treat, Word,
};
use super::world;

/// A world with so many plain servers, all of them remotes.
fn world(servers: usize) -> Plan {
    Plan {
        seed: 0,
        servers: vec![Nature::usual(); servers],
        config: Config::of((0..servers).map(Line::of).collect()),
        watched: true,
        one_client: false,
        senders: usize::MAX,
        reports: How::Linked,
        acts: Vec::new(),
        peace: HOUR,
    }
}

impl Plan {
    fn at(mut self, at: Duration, act: Act) -> Self {
        self.acts.push((at, act));
        self
    }

    fn mail(self, at: Duration, letter: Letter) -> Self {
        self.at(at, Act::Mail(letter))
    }

    fn mails(self, at: Duration, count: u32, letter: &Letter) -> Self {
        (0..count).fold(self, |plan, _| plan.mail(at, letter.clone()))
    }

    fn mood(self, at: Duration, server: usize, mood: Mood) -> Self {
        self.at(at, Act::Mood(server, mood))
    }

    fn must_be_lawful(self) {
        let outcome = world::play(self);
        assert!(outcome.breaches.is_empty(), "{outcome}");
    }
}

fn until(how: Treat, until: Duration) -> Letter {
    Letter::to(Fate { how, on: None, until })
}

/// Under way for half an hour.
fn long() -> Letter {
    let recipients = vec![Fate::of(Treat::Hold(4 * MINUTE)); 7];
    Letter { recipients, ..Letter::plain() }
}

/// The same with one connection and no other mail: a server that had too many connections, of ours or others'.
fn crowded(capacity: usize) -> Mood {
    Mood { capacity, ..Mood::well() }
}

#[test]
fn a_trial_that_ends_crowded_leaves_the_remote_as_it_was() {
    let breaks = until(Treat::Break, 10 * SECOND);
    (2..5)
        .fold(world(1).mail(SECOND, long()), |plan, second| {
            plan.mail(second * SECOND, breaks.clone())
        })
        .mood(5 * SECOND, 0, crowded(1))
        .must_be_lawful();
}

#[test]
fn mail_whose_trigger_nobody_pulls_waits_ten_seconds_however_much_comes_behind_it() {
    let letter = Letter { how: How::Unheard, ..Letter::plain() };
    (0..12)
        .fold(world(1), |plan, nth| plan.mail(nth * 3 * SECOND, letter.clone()))
        .must_be_lawful();
}

#[test]
fn every_sender_is_told_though_more_has_failed_than_may_be_told_in_an_hour() {
    let mut plan = world(1);
    plan.config.bounce_limit = Some(3);
    plan.mails(SECOND, 10, &Letter::to(Fate::of(Treat::Refuse))).must_be_lawful();
}

#[test]
fn a_warning_never_takes_the_place_of_a_report_of_failure() {
    let mut plan = world(1);
    plan.config.bounce_limit = Some(2);
    plan.config.delay_warning = Some(MINUTE);
    plan.mails(SECOND, 5, &until(Treat::Defer, HOUR / 2))
        .mails(10 * MINUTE, 2, &Letter::to(Fate::of(Treat::Refuse)))
        .must_be_lawful();
}

#[test]
fn a_report_that_cannot_be_written_leaves_its_room_and_its_hour_to_others() {
    let mut plan = world(1);
    plan.config.bounce_limit = Some(1);
    plan.mood(Duration::ZERO, 0, Mood { reach: Reach::Refused, ..Mood::well() })
        .mail(SECOND, Letter::to(Fate::of(Treat::Refuse)))
        .at(10 * SECOND, Act::Jam(Part::Tmp))
        .mood(20 * SECOND, 0, Mood::well())
        .at(10 * MINUTE, Act::Unjam(Part::Tmp))
        .mail(20 * MINUTE, Letter::to(Fate::of(Treat::Refuse)))
        .must_be_lawful();
}

#[test]
fn a_servers_word_on_a_recipient_is_kept_though_another_remote_cannot_be_reached() {
    world(2)
        .mood(Duration::ZERO, 1, Mood { reach: Reach::Refused, ..Mood::well() })
        .mail(SECOND, Letter::to(Fate { how: Treat::Defer, on: Some(0), until: HOUR }))
        .must_be_lawful();
}

#[test]
fn a_message_that_may_have_been_taken_is_not_repeated_at_once_on_another_session() {
    let mut plan = world(1);
    plan.servers[0].chunking = true;
    plan.mail(SECOND, Letter::plain())
        .mail(3 * SECOND, until(Treat::BreakAfterText { taken: true }, 10 * SECOND))
        .must_be_lawful();
}

#[test]
fn a_message_that_may_have_been_taken_is_not_repeated_at_once_to_another_remote() {
    let how = Treat::BreakAfterText { taken: true };
    world(2).mail(SECOND, Letter::to(Fate { how, on: Some(0), until: MINUTE })).must_be_lawful();
}

#[test]
fn while_a_login_is_refused_one_is_tried_in_each_pause() {
    for ponders in [Duration::ZERO, 2 * SECOND] {
        let mut plan = world(1);
        plan.config.remotes[0].login = true;
        plan.mood(Duration::ZERO, 0, Mood { login: Word::Never, ponders, ..Mood::well() })
            .mails(SECOND, 20, &Letter::plain())
            .mood(10 * MINUTE, 0, Mood::well())
            .must_be_lawful();
    }
}

#[test]
fn a_login_that_is_refused_beside_other_sessions_is_not_tried_again_at_once() {
    let mut plan = world(1);
    plan.config.remotes[0].login = true;
    let refuses = Mood { login: Word::Never, ponders: SECOND, ..Mood::well() };
    plan.mails(SECOND, 2, &Letter::to(Fate::of(Treat::Hold(4 * MINUTE))))
        .mood(5 * SECOND, 0, refuses)
        .mails(6 * SECOND, 4, &Letter::plain())
        .mood(30 * MINUTE, 0, Mood::well())
        .must_be_lawful();
}

#[test]
fn a_server_that_turns_a_session_away_while_another_is_idle_has_not_failed() {
    let mut plan = world(1);
    // The second session is dialled when the first has taken a quarter of a second, and is turned away
    // when that is just over.
    plan.servers[0].latency = Duration::from_millis(70);
    plan.mood(Duration::ZERO, 0, crowded(1)).mails(SECOND, 2, &Letter::plain()).must_be_lawful();
}

#[test]
fn a_changed_remote_is_used_by_the_next_message_while_an_old_delivery_hangs() {
    let mut plan = world(2);
    plan.config.remotes.truncate(1);
    let changed = Config::of(vec![Line::of(1)]);
    plan.mail(SECOND, long())
        .at(10 * SECOND, Act::Configure(changed))
        .mail(20 * SECOND, Letter::plain())
        .mail(5 * MINUTE, Letter::plain())
        .must_be_lawful();
}

#[test]
fn connections_are_counted_across_a_change_of_the_configuration() {
    let mut plan = world(2);
    plan.config.remotes[0].connections = Some(1);
    let changed = Config { delay_warning: Some(HOUR), ..plan.config.clone() };
    plan.mail(SECOND, long())
        .at(10 * SECOND, Act::Configure(changed))
        .at(11 * SECOND, Act::Reload)
        .mail(12 * SECOND, Letter::plain())
        .must_be_lawful();
}

#[test]
fn a_limit_outlives_control_files_that_cannot_be_read() {
    let mut plan = world(1);
    plan.config.rate = Some((1, 1));
    let (good, bad) = (plan.config.clone(), Config { broken: true, ..plan.config.clone() });
    let at = Duration::from_millis;
    plan.mail(SECOND, Letter::plain())
        .at(at(1200), Act::Configure(bad))
        .at(at(1200), Act::Reload)
        .at(at(1400), Act::Configure(good))
        .at(at(1400), Act::Reload)
        .mail(at(1500), Letter::plain())
        .must_be_lawful();
}

#[test]
fn mail_that_was_deferred_has_its_turn_and_its_end_however_much_new_mail_comes() {
    let mut plan = world(1);
    plan.config.rate = Some((2, 1));
    (plan.config.pause, plan.config.max_pause) = (2 * SECOND, 2 * SECOND);
    plan.config.lifetime = MINUTE;
    let plan = plan.mail(SECOND / 2, until(Treat::Defer, HOUR));
    let quarter = SECOND / 4;
    (4..4 * 120).fold(plan, |plan, nth| plan.mail(nth * quarter, Letter::plain())).must_be_lawful();
}
