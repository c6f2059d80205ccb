//! nullmailer-queue: what it takes, what it refuses, what it writes.

use crate::house::House;
use crate::smarthost::Sink;

#[test]
fn a_message_is_stored_with_its_envelope_and_a_received_line() {
    let house = House::new();
    house
        .run("nullmailer-queue", [""; 0], "a@b.c\nd@e.f\ng@h.i\n\nSubject: x\n\nbody\0\n")
        .success();
    let queued = house.only_queued();
    assert_eq!(queued.sender, "a@b.c");
    assert_eq!(queued.recipients, ["d@e.f", "g@h.i"]);
    assert_eq!(queued.message, "Subject: x\n\nbody\0\n");
    assert!(house.names("tmp").is_empty());
}

#[test]
fn a_bad_envelope_is_refused_with_its_address_and_leaves_nothing() {
    for (input, line) in [
        ("@b.c\nd@e.f\n\n", "cannot use sender: \"@b.c\" has nothing before its @"),
        ("a@b.c\n@e.f\n\n", "cannot use recipient: \"@e.f\""),
        ("a@b.c\nd\ne\n\n", "\"d\" has no domain"),
        ("a@b.c\nd@e.f\r\n\n", "\"d@e.f\\r\" holds a control character"),
    ] {
        let house = House::new();
        house.run("nullmailer-queue", [""; 0], input).exit(65).complains(line);
        assert!(house.queued().is_empty() && house.names("tmp").is_empty());
    }
}

#[test]
fn a_recipient_who_stands_there_twice_gets_one_copy() {
    let sink = Sink::new();
    let house = House::new();
    house.control("remotes", &sink.remote("")).control("pausetime", "0");
    house.run("nullmailer-queue", [""; 0], "a@b.c\nd@e.f\ng@h.i\nd@e.f\n\nx\n").success();
    house.run("nullmailer-send", [""; 0], "").success();
    assert_eq!(sink.wait_for(1)[0].recipients, ["d@e.f", "g@h.i"]);
}

#[test]
fn mail_for_this_machine_goes_to_its_administrators_and_names_them_once() {
    let house = House::new();
    house.control("adminaddr", "a@x,b@y");
    house.run("nullmailer-queue", [""; 0], "a@b\nr@localhost\nd@e\ns@f.q.d.n\n\nx\n").success();
    assert_eq!(house.only_queued().recipients, ["a@x", "b@y", "d@e"]);
}

#[test]
fn a_message_for_nobody_is_refused() {
    let house = House::new();
    house.run("nullmailer-queue", [""; 0], "a@b.c\n\nbody\n").exit(64).complains("no recipients");
    assert!(house.queued().is_empty());
}

#[test]
fn a_spool_that_is_not_there_is_named() {
    let house = House::new();
    let mut command = house.command("nullmailer-queue");
    command.env("NULLMAILER_SPOOL_DIR", "/nonexistent/spool");
    crate::house::run(&mut command, "a@b.c\nd@e.f\n\n").exit(73).complains("/nonexistent/spool");
}

#[test]
fn the_null_sender_is_taken_and_the_body_stays_as_it_is() {
    let house = House::new();
    house.run("nullmailer-queue", [""; 0], "\nd@e.f\n\na\r\n\n.\nb").success();
    let queued = house.only_queued();
    assert_eq!((queued.sender.as_str(), queued.message.as_str()), ("", "a\r\n\n.\nb"));
}

/// The original refuses these two; Debian's build takes them, and so do we.
#[test]
fn a_domain_without_a_dot_is_left_to_the_smarthost() {
    let house = House::new();
    house.run("nullmailer-queue", [""; 0], "a@b\nd@e\n\n").success();
    assert_eq!(house.only_queued().recipients, ["d@e"]);
}

#[test]
fn adminaddr_takes_what_is_for_this_machine_and_nothing_else() {
    for (admin, given, stored) in [
        ("x@y.z", "u@localhost", &["x@y.z"][..]),
        ("x@y.z", "u@f.q.d.n", &["x@y.z"]),
        ("x@y.z", "u@e.f", &["u@e.f"]),
        ("x@y.z", "u@localhost.q.d.n", &["u@localhost.q.d.n"]),
        ("x@y.z,w@v.u", "u@localhost", &["x@y.z", "w@v.u"]),
    ] {
        let house = House::new();
        house.control("adminaddr", admin);
        house.run("nullmailer-queue", [""; 0], format!("s@localhost\n{given}\n\n")).success();
        let queued = house.only_queued();
        assert_eq!(
            (queued.sender.as_str(), queued.recipients),
            ("s@localhost", stored.iter().map(ToString::to_string).collect())
        );
    }
}

#[test]
fn allmailfrom_replaces_every_sender_but_the_null_one() {
    for (given, stored) in [("a@b.c", "one@x.y"), ("a@b", "one@x.y"), ("", "")] {
        let house = House::new();
        house.control("allmailfrom", "one@x.y");
        house.run("nullmailer-queue", [""; 0], format!("{given}\nd@e.f\n\n")).success();
        assert_eq!(house.only_queued().sender, stored);
    }
    let house = House::new();
    house.control("allmailfrom", "one@x.y");
    house.run("nullmailer-queue", [""; 0], "@b.c\nd@e.f\n\n").exit(65);
    assert!(house.queued().is_empty());
}

#[test]
fn what_sendmail_asks_of_delivery_stands_behind_the_sender() {
    let house = House::new();
    house
        .run("nullmailer-queue", [""; 0], "a@b.c NOTIFY=NEVER RET=HDRS ENVID=x\nd@e.f\n\n")
        .success();
    assert_eq!(house.only_queued().sender, "a@b.c");
    let ran = house.run("nullmailer-queue", [""; 0], "a@b.c SIZE=1\nd@e.f\n\n");
    ran.exit(65).complains("a parameter is not known");
}
