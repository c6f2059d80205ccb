//! smtp and qmqp as programs of their own, for callers of the original's protocol folder.

use std::time::Duration;

use super::one_message;
use crate::exit::{Exit, Failure};
use crate::mail::{Family, Protocol, Remote, Security, Tls};
use crate::role::Call;

/// For now: `--host`, `--port` and `--timeout`.
pub(crate) fn run(call: Call) -> Result<Exit, Failure> {
    let mut remote = Remote {
        host: String::new(),
        protocol: Protocol::Smtp,
        port: None,
        source: None,
        family: Family::Any,
        security: Security::Plain,
        tls: Tls::default(),
        login: None,
        step_limit: None,
        connections: None,
        messages: None,
        options: Vec::new(),
    };
    for arg in &call.args {
        let arg = arg.to_string_lossy();
        match arg.split_once('=') {
            Some(("--host", value)) => value.clone_into(&mut remote.host),
            Some(("--port", value)) => remote.port = value.parse().ok(),
            Some(("--source", value)) => remote.source = Some(value.to_owned()),
            Some(("--timeout", value)) => {
                remote.step_limit = value.parse().ok().map(Duration::from_secs);
            }
            _ => return Err(Failure::new(Exit::Module(1), "that option is not built yet")),
        }
    }
    one_message::send(&call.name, &remote)
}
