//! `sendmail -odi` and `deliverymode`: delivery while the caller waits, without a daemon.

use crate::daemon::Daemon;
use crate::house::{House, Ran};
use crate::smarthost::Sink;

const MESSAGE: &str = "From: me@h.example\nSubject: x\n\nhi\n";

fn house(remotes: &str) -> House {
    let house = House::new();
    house.control("remotes", remotes);
    house
}

fn send(house: &House, recipients: &[&str]) -> Ran {
    let args = ["-odi", "-f", "me@h.example", "--"];
    house.run("sendmail", args.iter().chain(recipients), MESSAGE)
}

#[test]
fn a_message_is_delivered_before_sendmail_ends() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    let ran = send(&house, &["a@x.example"]).success();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let got = sink.only_message();
    assert_eq!(
        (got.sender.as_str(), &*got.recipients),
        ("me@h.example", &["a@x.example".to_owned()][..])
    );
    assert!(got.text().contains("\nSubject: x\n"), "{}", got.text());
    for folder in ["queue", "tmp", "status", "failed"] {
        assert!(house.names(folder).is_empty(), "{folder}");
    }
}

#[test]
fn deliverymode_makes_it_the_rule() {
    let sink = Sink::new();
    let house = house(&sink.remote(""));
    house.control("deliverymode", "interactive");
    house.run("sendmail", ["a@x.example"], MESSAGE).success();
    assert_eq!(sink.messages().len(), 1);
    house.run("sendmail", ["-odb", "a@x.example"], MESSAGE).success();
    assert_eq!((sink.messages().len(), house.queued().len()), (1, 1));
    house.control("deliverymode", "sometimes");
    house.run("sendmail", ["a@x.example"], MESSAGE).exit(78).complains("deliverymode:1: ");
}

#[test]
fn what_has_to_wait_is_queued_and_the_next_call_takes_it_along() {
    let mut down = Sink::new();
    let line = down.remote("");
    down.stop();
    let house = house(&line);
    send(&house, &["a@x.example"]).success();
    assert_eq!(house.only_queued().recipients, ["a@x.example"]);

    let up = Sink::new();
    house.control("remotes", &up.remote(""));
    send(&house, &["b@x.example"]).success();
    let mut got: Vec<_> = up.messages().into_iter().flat_map(|one| one.recipients).collect();
    got.sort();
    assert_eq!(got, ["a@x.example", "b@x.example"]);
    assert!(house.names("queue").is_empty());
}

#[test]
fn a_refusal_comes_back_as_its_exit_code_and_nothing_is_bounced() {
    for (reply, code) in [
        ("550 5.1.1 no such user", 67),
        ("550 5.1.2 no such host", 68),
        ("554 5.6.0 bad message", 65),
        ("554 5.7.1 not you", 69),
        ("550 no", 69),
    ] {
        let sink = Sink::new().answers("RCPT*", reply);
        let house = house(&sink.remote(""));
        send(&house, &["a@x.example"]).exit(code).complains(reply);
        for folder in ["queue", "tmp", "status", "failed"] {
            assert!(house.names(folder).is_empty(), "{reply} {folder}");
        }
    }
}

#[test]
fn a_recipient_that_was_served_is_not_served_again_by_the_queue() {
    let sink = Sink::new()
        .answers_once("RCPT TO:<busy@*", "450 4.2.0 later")
        .answers("RCPT TO:<gone@*", "550 5.1.1 no such user");
    let house = house(&sink.remote(""));
    send(&house, &["good@x.example", "busy@x.example", "gone@x.example"]).success();
    let list = house.run("mailq", [""; 0], "").success().stdout;
    assert!(list.contains("  to <busy@x.example>\n") && !list.contains("good@x"), "{list}");

    house.run("nullmailer", ["flush"], "").exit(75);
    house.control("pausetime", "0");
    house.run("nullmailer-send", [""; 0], "").success();
    let served: Vec<_> = sink.messages().into_iter().flat_map(|one| one.recipients).collect();
    for (recipient, copies) in [("good@x.example", 1), ("busy@x.example", 1), ("me@h.example", 1)] {
        assert_eq!(served.iter().filter(|one| *one == recipient).count(), copies, "{served:?}");
    }
}

#[test]
fn beside_a_daemon_it_delivers_its_own_message_and_leaves_the_queue_alone() {
    let sink = Sink::new().answers("RCPT TO:<busy@*", "450 4.2.0 later");
    let house = house(&sink.remote(""));
    let daemon = Daemon::start(&house);
    house.run("sendmail", ["busy@x.example"], MESSAGE).success();
    daemon.wait_for_line("Delivery complete, 1 message(s) remain.");
    send(&house, &["a@x.example"]).success();
    assert_eq!(sink.only_message().recipients, ["a@x.example"]);
    assert_eq!(house.queued().len(), 1);
}

#[test]
fn without_remotes_it_queues() {
    let house = house("");
    send(&house, &["a@x.example"]).success();
    assert_eq!(house.queued().len(), 1);
}
