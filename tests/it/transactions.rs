//! What may be sent before the server has answered, and what becomes of a message whose answer is lost.

use crate::daemon::Daemon;
use crate::house::House;
use crate::smarthost::Dialogue;

fn queue(house: &House, sender: &str, body: &str) {
    let input = format!("{sender}\na@x.example\n\nSubject: x\n\n{body}\n");
    house.run("nullmailer-queue", [""; 0], input).success();
}

fn remote(host: &Dialogue, options: &str) -> String {
    format!("127.0.0.1 smtp --port={} {options}\n", host.port())
}

#[test]
fn a_message_that_may_have_been_taken_is_not_repeated_at_once() {
    let host = Dialogue::play(
        "S: 220 hi
         C: EHLO *
         S: 250-hi
         S: 250-PIPELINING
         S: 250 CHUNKING
         C: MAIL *
         C: RCPT *
         S: 250 ok
         S: 250 ok
         C: BDAT *
         > chunk
         S: 250 taken
         C: MAIL *
         C: RCPT *
         C: BDAT *
         > chunk
         > close",
    );
    let house = House::new();
    house.control("remotes", &remote(&host, ""));
    let daemon = Daemon::start(&house);
    queue(&house, "s@x.example", "one");
    daemon.wait_for_line("Sent file.");
    queue(&house, "s@x.example", "two");
    daemon.wait_for_line("Sending failed: ");
    let log = daemon.stop_with_log();
    let journal = house.path("queue/status").join(house.only_queued().id);
    let journal = std::fs::read_to_string(journal).unwrap();
    assert_eq!(host.played().departed, None);
    let of = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!((of("Starting delivery: "), of("Sent file.")), (2, 1), "{log:#?}");
    for said in [log.join("\n"), journal] {
        assert!(said.contains("the message may have been taken"), "{said}");
    }
}
