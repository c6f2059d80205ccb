//! Dates as headers have them (RFC 5322 §3.3): English names, two-digit day.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `Sun, 22 Nov 2026 21:15:42 +0100`: the time in `zone`. A time beyond the calendar is 1970.
pub(crate) fn rfc5322_date(seconds: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(zone.clone());
    time.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// The form of the Received line that nullmailer-queue adds: UTC, written `-0000`, which says that
/// the zone is not known (RFC 5322 §3.3).
pub(crate) fn received_date(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S -0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_originals_form() {
        let zone = TimeZone::fixed(
            jiff::tz::offset(-3).saturating_sub(jiff::SignedDuration::from_mins(30)),
        );
        assert_eq!(rfc5322_date(1_795_382_142, &zone), "Sun, 22 Nov 2026 17:45:42 -0330");
        assert_eq!(received_date(1_795_382_142), "Sun, 22 Nov 2026 21:15:42 -0000");
        assert_eq!(received_date(i64::MAX), "Thu, 01 Jan 1970 00:00:00 -0000");
    }
}
