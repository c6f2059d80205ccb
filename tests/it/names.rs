//! The names of the one binary: what each says of itself, and what is not a name.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::house::{House, binary, run};

const PROGRAMS: [&str; 10] = [
    "nullmailer-send",
    "nullmailer-queue",
    "nullmailer-inject",
    "nullmailer-dsn",
    "nullmailer-smtpd",
    "sendmail",
    "mailq",
    "newaliases",
    "smtp",
    "qmqp",
];

#[test]
fn every_name_and_every_word_tells_its_use_and_its_version() {
    let house = House::new();
    for program in PROGRAMS {
        let link = house.path(program);
        symlink(binary(), &link).unwrap();
        for args in [vec![], vec![program], vec![program.trim_start_matches("nullmailer-")]] {
            let call = |option: &str| {
                let program = if args.is_empty() { link.as_path() } else { binary() };
                run(Command::new(program).args(&args).arg(option), "").success()
            };
            assert!(call("--help").stdout.contains("sage: "), "{program} {args:?}");
            assert!(
                call("--version").stdout.contains(env!("CARGO_PKG_VERSION")),
                "{program} {args:?}"
            );
        }
    }
    assert!(house.names("queue").is_empty());
}

#[test]
fn called_by_its_own_name_it_tells_what_it_can_be() {
    let said = run(&mut Command::new(binary()), "").success().stdout;
    for program in PROGRAMS {
        assert!(said.contains(program), "{program}: {said}");
    }
}

#[test]
fn a_name_that_is_none_of_ours_is_refused() {
    let house = House::new();
    let link = house.path("postfix");
    symlink(binary(), &link).unwrap();
    run(&mut Command::new(link), "").exit(64).complains("cannot run as \"postfix\"");
}
