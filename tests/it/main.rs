//! Behaviour, through the real binary: real processes, real files, real sockets, real TLS.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests are the outside")]

mod activation;
#[cfg(feature = "tls-anon-auth")]
mod anonymous;
mod bad_input;
mod bounce;
mod callers;
mod container;
mod daemon;
mod dependencies;
mod dsn;
mod environment;
mod external;
mod faults;
mod foreground;
mod health;
mod hostile;
mod house;
mod inherited;
mod inject;
mod install;
mod limits;
mod login;
mod mailq;
mod manual;
mod names;
mod planted;
mod proofs;
mod protocols;
mod qmqp;
mod queue;
mod report;
mod sandbox;
mod seams;
mod send;
mod sendmail;
mod sessions;
mod setuid;
mod smarthost;
mod smtp;
mod smtpd;
mod socket;
mod socket_hostile;
mod system_log;
mod upkeep;
mod walls;
