//! How the daemon treats servers: logins, servers that are crowded, and those it no longer has.

use std::time::Duration;

use super::{Breach, Judge, Law, View};
use crate::simulator::news::News;
use crate::simulator::plan::{SECOND, host};
use crate::simulator::post;
use crate::simulator::record::What;

/// At most one login that fails, and then none within the pause.
pub(super) struct Logins;

impl Judge for Logins {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        let facts = view.facts;
        let (What::Login { link }
        | What::LoggedIn { link, accepted: false }
        | What::Closed { link }) = what
        else {
            return;
        };
        let one = &facts.links[*link];
        let Some(login) = one.login.filter(|_| one.life == facts.daemon.life) else { return };
        let is_new = matches!(what, What::Login { .. });
        let failed_now = login.failed == Some(view.at);
        if !is_new && !failed_now {
            return;
        }
        let pause = facts.shortest_pause() * 9 / 10;
        let others = facts.links.iter().enumerate().filter(|(number, other)| {
            number != link && other.server == one.server && other.life == one.life
        });
        for (number, other) in others {
            let Some(other) = other.login else { continue };
            let text = if is_new {
                let Some(failed) = other.failed else { continue };
                // One that got no answer was tried when it was begun.
                let tried = if other.refused { failed } else { other.begun };
                let changed = facts.configs.last().map_or(Duration::ZERO, |(at, _)| *at);
                let asked_anew = facts.daemon.flushed.max(changed) > other.begun;
                if asked_anew || view.at >= tried + pause {
                    continue;
                }
                let after = view.at.saturating_sub(tried);
                format!("login #{link} came {after:?} after #{number}, which failed")
            } else {
                // It was begun while this one, which fails now, was not known to; what says something new is
                // asked anew.
                let beside = other.begun > login.begun && other.begun < view.at;
                let changed =
                    facts.configs.iter().any(|(at, _)| *at >= login.begun && *at <= other.begun);
                if !beside || changed || facts.daemon.flushed > login.begun {
                    continue;
                }
                format!("login #{number} was begun beside #{link}, which fails")
            };
            found.push(Breach::new(Law::Logins, view.at, text));
            return;
        }
    }
}

/// A remote that turns away one session more than it has does not fail.
pub(super) struct Crowding;

impl Judge for Crowding {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        let What::Logged(line) = what else { return };
        let Some(News::RemoteFailed { remote: name }) = News::read(line) else { return };
        let facts = view.facts;
        let there = |server: usize| host(server) == name;
        let turned = facts.links.iter().enumerate().rev().find(|(_, link)| {
            there(link.server)
                && link.crowded
                && link.closed.is_some_and(|at| view.at.saturating_sub(at) < SECOND / 100)
        });
        let Some((turned, last)) = turned else { return };
        let live = facts.links.iter().enumerate().find(|(_, link)| {
            there(link.server)
                && link.is_in_use(last.life)
                && !link.troubled
                && link.dialled <= last.dialled
        });
        if let Some((live, _)) = live {
            let text = format!("{name} turned #{turned} away because of #{live}: {line}");
            found.push(Breach::new(Law::Crowding, view.at, text));
        }
    }
}

/// Mail goes to servers that were remotes after it came.
pub(super) struct Edits;

impl Judge for Edits {
    fn see(&mut self, what: &What, view: View<'_>, found: &mut Vec<Breach>) {
        let What::Asked { link, address } = what else { return };
        let facts = view.facts;
        let Some((letter, _)) = post::place(address) else { return };
        let Some(Some(message)) = facts.letters.get(letter) else { return };
        let came = facts.messages[*message].queued;
        let server = facts.server_of(*link);
        let until = facts.configs.iter().skip(1).map(|(at, _)| *at).chain([Duration::MAX]);
        let mut since = facts.configs.iter().zip(until).filter(|(_, until)| *until >= came);
        if !since.any(|((_, config), _)| config.line(server).is_some()) {
            let text = format!("m{message} came after {} was no remote any more", host(server));
            found.push(Breach::new(Law::Edits, view.at, text));
        }
    }
}
