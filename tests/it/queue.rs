//! nullmailer-queue: what it takes, what it refuses, what it writes.

use crate::house::House;

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
        ("@b.c\nd@e.f\n\n", "cannot use sender \"@b.c\" has nothing before its @"),
        ("a@b.c\n@e.f\n\n", "cannot use recipient \"@e.f\""),
        ("a@b.c\nd\ne\n\n", "\"d\" has no domain"),
        ("a@b.c\nd@e.f\r\n\n", "\"d@e.f\\r\" holds a control character"),
    ] {
        let house = House::new();
        house.run("nullmailer-queue", [""; 0], input).exit(65).complains(line);
        assert!(house.queued().is_empty() && house.names("tmp").is_empty());
    }
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
