//! How one message goes to one server: what MAIL and RCPT say, who is refused before anything is
//! sent, and how the text is transmitted. Pure; `transaction` carries it out.

use std::fmt::Write as _;

use super::capabilities::{Capabilities, Size};
use super::survey::Survey;
use crate::mail::downgrade::Changes;
use crate::mail::{EnhancedCode, Outcome, Reason, Xtext};
use crate::transport::Mail;

/// Decided once, from what the server offers and what the message is.
#[derive(Debug)]
pub(super) struct Plan {
    /// What stands behind `MAIL FROM:<...>`.
    mail_parameters: String,
    /// What stands behind every `RCPT TO:<...>`.
    notify: String,
    /// What must be converted, because the server cannot take it as it is.
    pub(super) changes: Changes,
    /// The places of those who are not even asked for, and why.
    pub(super) refused: Option<(Vec<usize>, Outcome)>,
}

impl Plan {
    pub(super) fn make(mail: &Mail<'_>, offered: &Capabilities, survey: Survey) -> Self {
        let mut plan = Self {
            mail_parameters: String::new(),
            notify: String::new(),
            changes: Changes {
                header: survey.header && !offered.smtputf8,
                body: survey.body && !offered.eight_bit,
            },
            refused: refusals(mail, offered, survey),
        };
        let mut parameters = String::new();
        if offered.size != Size::NotOffered {
            let _ = write!(parameters, " SIZE={}", survey.size);
        }
        if offered.eight_bit && (survey.header || survey.body) {
            parameters.push_str(" BODY=8BITMIME");
        }
        let unicode_envelope = || {
            !mail.sender.as_str().is_ascii() || mail.recipients.iter().any(|one| !one.is_ascii())
        };
        if offered.smtputf8 && (survey.header || unicode_envelope()) {
            parameters.push_str(" SMTPUTF8");
        }
        if offered.dsn {
            if let Some(ret) = mail.request.ret {
                let _ = write!(parameters, " RET={ret}");
            }
            if let Some(id) = &mail.request.envelope_id {
                let _ = write!(parameters, " ENVID={}", Xtext(id.as_str()));
            }
            if let Some(notify) = mail.request.notify {
                plan.notify = format!(" NOTIFY={notify}");
            }
        }
        plan.mail_parameters = parameters;
        plan
    }

    /// The MAIL command, without its line end.
    pub(super) fn mail_command(&self, mail: &Mail<'_>) -> String {
        format!("MAIL FROM:<{}>{}", mail.sender, self.mail_parameters)
    }

    /// The RCPT command for one recipient, without its line end.
    pub(super) fn rcpt_command(&self, mail: &Mail<'_>, which: usize) -> String {
        let recipient = &mail.recipients[which];
        let mut command = format!("RCPT TO:<{recipient}>{}", self.notify);
        // RFC 3461 §4.2: so that a report can name the address as we knew it.
        if !self.notify.is_empty() && recipient.is_ascii() {
            let _ = write!(command, " ORCPT=rfc822;{}", Xtext(recipient.as_str()));
        }
        command
    }
}

fn refusals(
    mail: &Mail<'_>,
    offered: &Capabilities,
    survey: Survey,
) -> Option<(Vec<usize>, Outcome)> {
    let everyone =
        |reason: Reason| Some(((0..mail.recipients.len()).collect(), Outcome::Failed(reason)));
    if let Size::AtMost(limit) = offered.size
        && survey.size > limit
    {
        // RFC 1870 §6.2, RFC 3463: message too big for system.
        let text =
            format!("message of {} bytes is over the server's limit of {limit} bytes", survey.size);
        return everyone(Reason::local(EnhancedCode::new(5, 3, 4), text));
    }
    if offered.smtputf8 {
        return None;
    }
    // RFC 6531 §3.2, §3.5: non-ASCII addresses not permitted.
    let not_ascii = |what: &str| {
        let text = format!("server does not offer SMTPUTF8, which the {what} needs");
        Reason::local(EnhancedCode::new(5, 6, 7), text)
    };
    if !mail.sender.as_str().is_ascii() {
        return everyone(not_ascii("sender's address"));
    }
    let all = mail.recipients.iter().enumerate();
    let refused: Vec<usize> =
        all.filter(|(_, one)| !one.is_ascii()).map(|(which, _)| which).collect();
    (!refused.is_empty()).then(|| (refused, Outcome::Failed(not_ascii("recipient's address"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, DeliveryRequest, Reply, ReversePath};

    /// What would be sent, and who would be refused.
    fn plan(
        sender: &str,
        recipients: &[&str],
        offers: &str,
        survey: Survey,
    ) -> (String, Vec<usize>) {
        let request = DeliveryRequest::parse(b"NOTIFY=FAILURE,DELAY RET=HDRS ENVID=a+2Bb").unwrap();
        let recipients: Vec<_> =
            recipients.iter().map(|text| Address::parse(text.as_bytes()).unwrap()).collect();
        let mail = Mail {
            sender: &ReversePath::parse(sender.as_bytes()).unwrap(),
            recipients: &recipients,
            request: &request,
            file: &tempfile::tempfile().unwrap(),
            offset: 0,
            size: 0,
        };
        let offered = Capabilities::parse(&Reply::new(250, &format!("h\n{offers}")));
        let plan = Plan::make(&mail, &offered, survey);
        let said = [plan.mail_command(&mail), plan.rcpt_command(&mail, 0)].join("|");
        (said, plan.refused.map(|(who, _)| who).unwrap_or_default())
    }

    fn survey(header: bool, body: bool) -> Survey {
        Survey { size: 100, header, body }
    }

    #[test]
    fn nothing_is_said_that_is_not_offered() {
        let (said, refused) = plan("a@x", &["b@x"], "", survey(true, true));
        assert_eq!((said.as_str(), refused), ("MAIL FROM:<a@x>|RCPT TO:<b@x>", vec![]));
    }

    #[test]
    fn what_is_offered_is_said_where_it_is_needed() {
        let all = "SIZE\n8BITMIME\nSMTPUTF8\nDSN";
        let dsn = "RET=HDRS ENVID=a+2Bb|RCPT TO:<b+c@x> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b+2Bc@x";
        for (survey, said) in [
            (survey(false, false), format!("MAIL FROM:<> SIZE=100 {dsn}")),
            (survey(false, true), format!("MAIL FROM:<> SIZE=100 BODY=8BITMIME {dsn}")),
            (survey(true, false), format!("MAIL FROM:<> SIZE=100 BODY=8BITMIME SMTPUTF8 {dsn}")),
        ] {
            assert_eq!(plan("", &["b+c@x"], all, survey).0, said);
        }
    }

    #[test]
    fn an_address_that_needs_smtputf8_is_refused_alone() {
        let (said, refused) = plan("a@x", &["b@x", "jö@x"], "8BITMIME", survey(false, false));
        assert_eq!((said.as_str(), refused), ("MAIL FROM:<a@x>|RCPT TO:<b@x>", vec![1]));
        let (_, refused) = plan("jö@x", &["b@x", "c@x"], "8BITMIME", survey(false, false));
        assert_eq!(refused, [0, 1]);
        let (said, refused) = plan("a@x", &["jö@x"], "SMTPUTF8", survey(false, false));
        assert_eq!((said.as_str(), refused), ("MAIL FROM:<a@x> SMTPUTF8|RCPT TO:<jö@x>", vec![]));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_for_all() {
        assert_eq!(plan("a@x", &["b@x", "c@x"], "SIZE 99", survey(false, false)).1, [0, 1]);
        assert!(plan("a@x", &["b@x", "c@x"], "SIZE 100", survey(false, false)).1.is_empty());
    }
}
