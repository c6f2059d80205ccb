//! The control file `remotes`: where mail goes, one remote a line, `HOST [PROTOCOL [OPTION...]]`.
//!
//! Read by nullmailer-send before each queue run. A line that does not parse is an error with its
//! place and is left out: the good lines serve, and what only the bad one could take waits.
//!
//! Lines split by the shell's rules, without expansions (decisions in docs/compatibility.md).

use super::option::{self, host, protocol};
use super::{Control, Error};
use crate::mail::{Printable, Protocol, Remote, Secret, SecretSource};

/// Every usable remote in the order of the file, and what is wrong with the other lines.
pub(crate) fn read(control: &Control) -> (Vec<Remote>, Vec<Error>) {
    let (mut remotes, mut errors) = (Vec::new(), Vec::new());
    match control.lines("remotes") {
        Ok(lines) => {
            for (number, line) in lines {
                match parse_line(&line) {
                    Ok(mut remote) => {
                        place_files(&mut remote, control);
                        remotes.push(remote);
                    }
                    Err(flaw) => errors.push(control.invalid_line("remotes", number, flaw)),
                }
            }
        }
        Err(error) => errors.push(error),
    }
    (remotes, errors)
}

fn place_files(remote: &mut Remote, control: &Control) {
    let tls = &mut remote.tls;
    let identity = tls.identity.iter_mut().flat_map(|(certificate, key)| [certificate, key]);
    let password = match remote.login.as_mut().map(|login| &mut login.secret) {
        Some(SecretSource::File(path)) => Some(path),
        _ => None,
    };
    let trust = [&mut tls.ca_file, &mut tls.crl_file].into_iter().flatten();
    for path in trust.chain(identity).chain(password) {
        // An absolute one stays what it is.
        *path = control.named(path);
    }
}

/// What the stand-alone protocol programs are asked for: options only, the host among them. The
/// error is the flaw alone.
pub(crate) fn parse_words(protocol: Protocol, words: &[String]) -> Result<Remote, String> {
    option::parse(None, protocol, words, 0).map_err(|flaw| Printable(&flaw).to_string())
}

fn parse_line(line: &str) -> Result<Remote, String> {
    if line.contains('\0') {
        return Err("holds a NUL".to_owned());
    }
    let words = shell_words::split(line).map_err(|_| "a quote does not end".to_owned())?;
    let (first, rest) = words.split_first().ok_or("there is no host")?;
    let name = host(first).map_err(|flaw| no_host(first, flaw))?;
    let (protocol, words) = match rest.split_first() {
        Some((word, words)) => (protocol(word).map_err(|flaw| no_protocol(word, &flaw))?, words),
        None => (Protocol::Smtp, rest),
    };
    match protocol {
        Protocol::External(_) => external(name, protocol, words),
        Protocol::Smtp | Protocol::Qmqp => option::parse(Some(name), protocol, words, 2),
    }
}

/// A word in the place of another could be a password, and is not shown but where it is a host with its port.
fn no_host(word: &str, flaw: String) -> String {
    match option::meant(word) {
        Some(name) => format!("the option {name} stands where the host should"),
        None if word.contains(':') && flaw.contains("; write ") => flaw,
        None => "word 1 is not a host".to_owned(),
    }
}

fn no_protocol(word: &str, flaw: &str) -> String {
    match option::meant(word) {
        Some(name) => format!("{name}: there is no protocol before it, such as smtp"),
        None => format!("word 2 {flaw}"),
    }
}

/// The options of a program that is not ours are passed on unread, one a line.
fn external(mut name: String, protocol: Protocol, words: &[String]) -> Result<Remote, String> {
    let mut kept = Vec::new();
    for word in words {
        let word = word.strip_prefix("--").unwrap_or(word);
        // An empty line or one more line would end or change the list.
        if word.is_empty() {
            return Err("an option is empty".to_owned());
        }
        if word.contains(['\n', '\0']) {
            return Err("an option holds a line end or a NUL".to_owned());
        }
        if let Some(value) = word.strip_prefix("host=") {
            name = host(value)?;
        }
        kept.push(Secret::new(word.as_bytes().to_vec()));
    }
    Ok(Remote { options: kept, ..Remote::new(name, protocol) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_splits_into_words_as_in_the_shell() {
        let vectors: &[(&str, &[&str])] = &[
            ("a b", &["a", "b"]),
            ("a\tb", &["a", "b"]),
            (r"a\ b", &["a b"]),
            ("\"a b\"", &["a b"]),
            ("'a b'", &["a b"]),
            ("a\"b\"c", &["abc"]),
            ("a'b'c", &["abc"]),
            ("\"a\"'b'c", &["abc"]),
            ("one=\"two three\" four", &["one=two three", "four"]),
            ("\"\"", &[""]),
            ("''", &[""]),
            (r"'a\'", &[r"a\"]),
            (r#""a\"b""#, &["a\"b"]),
            ("\"$HOME `x`\"", &["$HOME `x`"]),
            ("a#b", &["a#b"]),
            (r"pass=se\$cret port=1", &["pass=se$cret", "port=1"]),
            // Where the original took one byte too many as literal.
            (r"pass=secret\! port=1", &["pass=secret!", "port=1"]),
            (r"a\b c", &["ab", "c"]),
            (r"a\\ b", &[r"a\", "b"]),
            (r#""a\"""#, &["a\""]),
            (r#""a\\" b"#, &[r"a\", "b"]),
            (r"'a'\''b'", &["a'b"]),
            // POSIX: in double quotes a backslash only escapes $ ` " \ and the line end.
            (r#""a\nb""#, &[r"a\nb"]),
            // POSIX: a word does not begin with #; what follows is a comment.
            ("a #c", &["a"]),
        ];
        for (line, words) in vectors {
            assert_eq!(shell_words::split(line).unwrap(), *words, "{line}");
        }
        for open in ["\"unclosed x", "'unclosed x"] {
            assert_eq!(parse_line(open), Err("a quote does not end".to_owned()));
        }
    }

    #[test]
    fn a_bad_line_is_named_and_the_good_ones_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let text = "# ours\n\none.example\ntwo.example smtp prot=25\n  [::1] qmqp  \n'x\n";
        std::fs::write(dir.path().join("remotes"), text).unwrap();
        let (remotes, errors) = read(&Control::new(dir.path()));
        let hosts: Vec<_> = remotes
            .iter()
            .map(|r| (r.host.as_str(), r.protocol.name(), r.effective_port()))
            .collect();
        assert_eq!(hosts, [("one.example", "smtp", Some(25)), ("::1", "qmqp", Some(628))]);
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        let unknown = "/remotes:4: unknown option prot, port is the nearest";
        assert!(errors[0].ends_with(unknown), "{errors:?}");
        assert!(errors[1].ends_with("/remotes:6: a quote does not end"), "{errors:?}");
    }

    #[test]
    fn a_word_in_the_wrong_place_is_not_shown() {
        for (line, flaw) in [
            ("pass=hunter2 smtp", "the option pass stands where the host should"),
            ("hunter2/ smtp", "word 1 is not a host"),
            ("h.example:587", "\"h.example:587\" is not a host; write h.example smtp port=587"),
            ("h --pass=hunter2", "pass: there is no protocol before it, such as smtp"),
            ("h hunter2=x smtp", "word 2 is not a protocol"),
            (
                "h smtp user=u hunter2",
                "word 4 is no option; it is not shown, as it could be a password",
            ),
        ] {
            assert_eq!(parse_line(line), Err(flaw.to_owned()), "{line}");
        }
    }

    #[test]
    fn another_protocols_options_are_passed_on_unread() {
        let remote = parse_line("host.example dummy --exit=3 pass='a b' -x").unwrap();
        assert_eq!(remote.protocol, Protocol::External("dummy".to_owned()));
        let words: Vec<_> = remote.options.iter().map(Secret::expose).collect();
        assert_eq!(words, [&b"exit=3"[..], b"pass=a b", b"-x"]);
        assert!(!format!("{remote:?}").contains("a b"));
        for bad in ["h ../smtp", "h .hidden", "h ''", "h a/b", "h dummy ''", "h dummy --"] {
            assert!(parse_line(bad).is_err(), "{bad}");
        }
    }
}
