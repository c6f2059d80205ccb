//! Which envelope a message gets: what `adminaddr` and `allmailfrom` make of the one it came with.
//!
//! The only maker of an [`Envelope`] besides reading a message of the queue.

use super::Error;
use crate::config::{self, Control};
use crate::mail::{Address, DeliveryRequest, Envelope, Recipients, ReversePath};

/// The rules of this machine.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    admin: Option<Admin>,
    all_mail_from: Option<Address>,
}

/// `adminaddr`: who gets what is for this machine itself.
#[derive(Debug)]
struct Admin {
    addresses: Vec<Address>,
    me: String,
}

impl Policy {
    /// Reads the rules. `me` is asked for our name only when `adminaddr` needs it.
    pub(crate) fn read(
        control: &Control,
        me: impl FnOnce() -> Result<String, config::Error>,
    ) -> Result<Self, config::Error> {
        let addresses = control.addresses("adminaddr")?;
        let admin = if addresses.is_empty() { None } else { Some(Admin { addresses, me: me()? }) };
        let all_mail_from = control.address("allmailfrom")?;
        Ok(Self { admin, all_mail_from })
    }

    /// Admits a message.
    pub(crate) fn admit(
        &self,
        sender: ReversePath,
        recipients: Recipients,
        request: DeliveryRequest,
    ) -> Result<Envelope, Error> {
        let recipients = if self.admin.is_none() {
            recipients
        } else {
            Recipients::new(recipients.iter().flat_map(|one| match self.redirect(one) {
                Some(admins) => admins.to_vec(),
                None => vec![one.clone()],
            }))?
        };
        Ok(Envelope { sender: self.sender(sender), recipients, request })
    }

    /// The null reverse-path is never rewritten: a bounce must not be answered.
    pub(super) fn sender(&self, sender: ReversePath) -> ReversePath {
        match (&self.all_mail_from, sender) {
            (Some(address), ReversePath::Mailbox(_)) => ReversePath::Mailbox(address.clone()),
            (_, sender) => sender,
        }
    }

    /// Who gets what is for this recipient, if that is somebody else.
    pub(super) fn redirect(&self, recipient: &Address) -> Option<&[Address]> {
        let admin = self.admin.as_ref().filter(|admin| admin.is_for_us(recipient))?;
        Some(&admin.addresses)
    }
}

impl Admin {
    // nullmailer: both names match exactly, case and all.
    fn is_for_us(&self, address: &Address) -> bool {
        address.domain() == "localhost" || address.domain() == self.me
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(files: &[(&str, &str)], sender: &str, recipients: &[&str]) -> (String, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let policy = Policy::read(&Control::new(dir.path()), || Ok("f.q.d.n".to_owned())).unwrap();
        let recipients = recipients.iter().map(|one| Address::parse(one.as_bytes()).unwrap());
        let envelope = policy
            .admit(
                ReversePath::parse(sender.as_bytes()).unwrap(),
                Recipients::new(recipients).unwrap(),
                DeliveryRequest::default(),
            )
            .unwrap();
        let recipients = envelope.recipients.iter().map(ToString::to_string).collect();
        (envelope.sender.to_string(), recipients)
    }

    #[test]
    fn mail_for_this_machine_goes_to_its_administrators() {
        let files = [("adminaddr", "a@x, b@y")];
        let (sender, recipients) =
            admit(&files, "root@localhost", &["root@localhost", "c@z", "u@f.q.d.n", "u@LOCALHOST"]);
        assert_eq!(sender, "root@localhost");
        assert_eq!(recipients, ["a@x", "b@y", "c@z", "u@LOCALHOST"]);
    }

    #[test]
    fn allmailfrom_replaces_every_sender_but_the_null_one() {
        let files = [("allmailfrom", "one@x")];
        assert_eq!(admit(&files, "who@ever", &["c@z"]).0, "one@x");
        assert_eq!(admit(&files, "", &["c@z"]).0, "");
    }

    #[test]
    fn an_administrator_without_an_address_is_an_error_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("adminaddr"), "a@x,root").unwrap();
        let error = Policy::read(&Control::new(dir.path()), || Ok(String::new())).unwrap_err();
        assert!(error.to_string().contains("adminaddr:1: \"root\" has no domain"), "{error}");
    }
}
