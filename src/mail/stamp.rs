//! Names that no other message has: the Message-Id, and the boundary of a report.

/// A moment of one process, fine enough that no two messages share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds since 1970.
    pub(crate) seconds: u64,
    pub(crate) micros: u32,
    pub(crate) pid: u32,
}

impl Moment {
    /// `<SECONDS.MICROS.PID.nullmailer@IDHOST>`, brackets and all (RFC 5322 §3.6.4).
    pub(crate) fn message_id(self, id_host: &str) -> String {
        format!("<{}.nullmailer@{id_host}>", self.boundary())
    }

    /// `SECONDS.MICROS.PID`, a MIME boundary (RFC 2046 §5.1.1).
    pub(crate) fn boundary(self) -> String {
        format!("{}.{:06}.{}", self.seconds, self.micros, self.pid)
    }

    /// For dates, which count in signed seconds.
    pub(crate) fn unix(self) -> i64 {
        self.seconds.try_into().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_has_the_originals_form() {
        let moment = Moment { seconds: 1_795_382_142, micros: 42, pid: 7 };
        assert_eq!(moment.message_id("h.example"), "<1795382142.000042.7.nullmailer@h.example>");
    }
}
