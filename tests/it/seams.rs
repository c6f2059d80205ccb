//! What happens between the parts of the daemon: a remote's health and its sessions, an edit and a
//! delivery that hangs, one remote's word and another's silence.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::{Answer, Sink};

fn queue(house: &House, recipient: &str) {
    let input = format!("root@h.example\n{recipient}\n\nSubject: x\n\nhi\n");
    house.run("nullmailer-queue", [""; 0], input).success();
}

/// A house whose mail is tried again each second, and rests for up to an hour.
fn house(remotes: &str) -> House {
    let house = House::new();
    house.control("remotes", remotes).control("pausetime", "1").control("maxpause", "1h");
    house
}

#[test]
fn a_server_that_wants_no_more_sessions_than_it_has_is_not_shut_out() {
    let sink = Sink::new()
        .answers("RCPT TO:<long@*", Answer::Hold)
        .answers("RCPT TO:<breaks@*", Answer::Close);
    let house = house(&sink.remote(""));
    let daemon = Daemon::start(&house);
    queue(&house, "long@x.example");
    sink.wait_for_command("RCPT TO:<long@*");
    (0..3).for_each(|_| queue(&house, "breaks@x.example"));
    daemon.wait_for_lines("deferred id=", 3);
    sink.accept("RCPT TO:<breaks@*");
    sink.answers_now("CONNECT", "421 4.7.0 too many connections");
    daemon.wait_for_line("remote-crowded ");
    sink.accept("CONNECT");
    sink.accept("RCPT TO:<long@*");
    assert_eq!(sink.wait_for(4).len(), 4);
    daemon.stop();
}

#[test]
fn a_servers_word_on_a_recipient_is_kept_though_another_remote_cannot_be_reached() {
    let full = Sink::new().answers("RCPT*", "450 4.2.2 mailbox is full");
    let mut gone = Sink::new();
    let remotes = full.remote("") + &gone.remote("").replace("127.0.0.1", "localhost");
    gone.stop();
    let house = house(&remotes);
    house.control("pausetime", "0").control("queuelifetime", "1h");
    queue(&house, "a@x.example");
    let id = house.only_queued().id;
    house.run("nullmailer-send", [""; 0], "").success();
    let journal = fs::read_to_string(house.path("queue/status").join(&id)).unwrap();
    let last = journal.lines().last().unwrap();
    assert!(last.ends_with("\ta@x.example\t127.0.0.1\t450 4.2.2 mailbox is full"), "{journal}");

    // The same is what its sender hears in the end.
    let message = File::options().append(true).open(house.path("queue/queue").join(&id)).unwrap();
    message.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    house.run("nullmailer-send", [""; 0], "").success();
    assert_eq!(house.names("failed"), [id.as_str()]);
    let sink = Sink::new();
    house.control("remotes", &sink.remote(""));
    house.run("nullmailer-send", [""; 0], "").success();
    let bounce = sink.wait_for(1).pop().unwrap().text();
    assert!(bounce.contains("the last reason was: 450 4.2.2 mailbox is full"), "{bounce}");
    assert!(bounce.contains("Remote-MTA: dns; 127.0.0.1"), "{bounce}");
}

#[test]
fn a_changed_remote_is_used_by_the_next_message_although_an_old_delivery_hangs() {
    let (old, new) = (Sink::new().answers(".", Answer::Hold), Sink::new());
    let house = house(&old.remote(""));
    // Which holds ports that were not known at the start to be none of ours.
    house.control("sandbox", "off");
    let daemon = Daemon::start(&house);
    queue(&house, "first@x.example");
    old.wait_for_command("DATA");
    house.control("remotes", &new.remote(""));
    queue(&house, "second@x.example");
    assert_eq!(new.wait_for(1)[0].recipients, ["second@x.example"]);
    old.accept(".");
    assert_eq!(old.wait_for(1)[0].recipients, ["first@x.example"]);
    daemon.stop();
}

#[test]
fn a_message_in_which_everybody_has_had_an_answer_is_kept_and_not_removed_without_a_word() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    house.control("pausetime", "0");
    queue(&house, "a@x.example");
    let id = house.only_queued().id;
    fs::write(
        house.path("queue/status").join(&id),
        "1\tattempt\n1\tsent\ta@x.example\trelay\t250 ok\n",
    )
    .unwrap();
    let log = house.run("nullmailer-send", [""; 0], "").success().stdout;
    assert!(log.contains(&format!("anomaly id={id} ")), "{log}");
    assert_eq!((house.queued().len(), house.names("failed").len()), (0, 1));
    assert!(sink.messages().is_empty());
}

#[test]
fn how_the_queue_and_the_remotes_stand_is_said_on_sigusr1() {
    let sink = Sink::new().answers("CONNECT", "554 5.3.2 not you");
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    let daemon = Daemon::start(&house);
    queue(&house, "a@x.example");
    daemon.wait_for_line("Delivery complete, 1 message(s) remain.");
    daemon.signal(Signal::SIGUSR1);
    daemon.wait_for_line("remote-status remote=127.0.0.1 rests=");
    let log = daemon.stop_with_log();
    assert!(log.iter().any(|line| line == "status due=1 later=0 running=0"), "{log:#?}");
    assert!(log.iter().any(|line| line.ends_with("error=\"554 5.3.2 not you\"")), "{log:#?}");
}

#[test]
fn a_message_that_a_crowded_server_turns_away_goes_to_the_next_remote() {
    let full = Sink::new().answers("RCPT TO:<long@*", Answer::Hold);
    let other = Sink::new();
    let house = house(&(full.remote("") + &other.remote("").replace("127.0.0.1", "localhost")));
    let daemon = Daemon::start(&house);
    queue(&house, "long@x.example");
    full.wait_for_command("RCPT TO:<long@*");
    full.answers_now("CONNECT", "421 4.7.0 too many connections");
    queue(&house, "a@x.example");
    assert_eq!(other.wait_for(1).len(), 1);
    full.accept("RCPT TO:<long@*");
    assert_eq!(full.wait_for(1).len(), 1);
    daemon.stop();
}

#[test]
fn a_session_that_was_turned_away_is_asked_for_again_after_a_pause_though_another_one_hangs() {
    let sink = Sink::new().answers("RCPT TO:<long@*", Answer::Hold);
    let house = house(&sink.remote(""));
    let daemon = Daemon::start(&house);
    queue(&house, "long@x.example");
    sink.wait_for_command("RCPT TO:<long@*");
    sink.answers_now("CONNECT", "421 4.7.0 too many connections");
    queue(&house, "a@x.example");
    daemon.wait_for_line("remote-crowded ");
    sink.accept("CONNECT");
    assert_eq!(sink.wait_for(1).len(), 1);
    sink.accept("RCPT TO:<long@*");
    sink.wait_for(2);
    daemon.stop();
}

#[test]
fn a_login_that_was_refused_is_not_tried_again_because_remotes_was_empty_for_a_moment() {
    let sink = Sink::new().offers(&["AUTH PLAIN"]).answers("AUTH*", "535 5.7.8 no");
    let remotes = sink.remote("--user=u --pass=p");
    let house = house(&remotes);
    house.control("pausetime", "1h");
    let daemon = Daemon::start(&house);
    queue(&house, "a@x.example");
    daemon.wait_for_line("remote-failed ");
    for n in 1..4 {
        for (text, said) in [("", "No remote hosts listed"), (&remotes, "configured ")] {
            house.control("remotes", text);
            daemon.signal(Signal::SIGHUP);
            daemon.wait_for_lines(said, if text.is_empty() { n } else { n + 1 });
        }
        queue(&house, "b@x.example");
        daemon.wait_for_lines("Trigger pulled.", n + 1);
    }
    let log = daemon.stop_with_log();
    assert_eq!(log.iter().filter(|line| line.contains("remote-failed ")).count(), 1, "{log:#?}");
}

#[test]
fn a_pausetime_beyond_any_clock_ends_no_daemon() {
    let sink = Sink::new().answers("CONNECT", "554 no");
    let house = house(&sink.remote(""));
    house.control("pausetime", "400000000000y").control("maxpause", "400000000000y");
    let daemon = Daemon::start(&house);
    for n in 1..3 {
        queue(&house, "a@x.example");
        daemon.wait_for_lines("Trigger pulled.", n);
        daemon.wait_for_line("remote-failed ");
    }
    assert!(daemon.stop().success());
}

#[test]
fn a_daemon_that_ends_writes_down_which_message_may_have_been_taken() {
    let sink = Sink::new().answers(".", Answer::Hold);
    let house = house(&sink.remote(""));
    house.control("pausetime", "1h");
    let daemon = Daemon::start(&house);
    queue(&house, "a@x.example");
    sink.wait_for_command(".");
    let log = daemon.stop_with_log().join("\n");
    assert!(log.contains("the daemon ends; the message may have been taken"), "{log}");
    let journal = house.path("queue/status").join(house.only_queued().id);
    assert!(fs::read_to_string(journal).unwrap().contains("may have been taken"));
    let next = Daemon::start(&house);
    next.wait_for_line("Rescanning queue.");
    let log = next.stop_with_log().join("\n");
    assert!(!log.contains("Starting delivery: "), "{log}");
}

#[test]
fn what_somebody_is_writing_into_the_queue_is_not_taken_by_half_at_a_start_nor_when_all_is_to_be_tried()
 {
    let text = "root@h.example\na@x.example\n\nSubject: x\n\none\ntwo\n";
    for (is_up, begun) in [(false, 0), (false, 20), (false, 45), (true, 0), (true, 20), (true, 45)]
    {
        let sink = Sink::new();
        let house = house(&sink.remote(""));
        let start = || {
            let daemon = Daemon::start(&house);
            daemon.wait_for_line("Rescanning queue.");
            daemon
        };
        start().stop();
        let daemon = is_up.then(start);
        let path = house.path("queue/queue/1700000000.77");
        let mut file = File::create(&path).unwrap();
        file.write_all(&text.as_bytes()[..begun]).unwrap();
        let daemon = daemon.unwrap_or_else(start);
        daemon.signal(Signal::SIGALRM);
        daemon.wait_for_lines("Rescanning queue.", 2);
        // Whoever hands mail in pulls the trigger for all.
        queue(&house, "b@x.example");
        assert_eq!(sink.wait_for(1).len(), 1);
        file.write_all(&text.as_bytes()[begun..]).unwrap();
        drop(file);
        let messages = sink.wait_for(2);
        assert!(messages.iter().any(|mail| mail.text().ends_with("one\ntwo\n")), "{begun}");
        let log = daemon.stop_with_log();
        assert!(!log.iter().any(|line| line.contains("unusable")), "{log:#?}");
        assert_eq!((house.queued().len(), house.names("failed").len()), (0, 0));
    }
}
