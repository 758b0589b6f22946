//! Certificates of the configuration: validity, remaining lifetime, and permissions of the files of their keys.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::report::{Line, Status, Value};
use throng::parts::config::TlsOptions;
use throng::parts::node::read_pem;
use throng::parts::tls::certificates::{date_text, facts};
use throng::parts::tls::{CertificateError, Facts, Pem, PemPair};

/// Permission bits for other users to read.
const OTHERS_READ: u32 = 0o004;

/// All files that the configuration names, at `now_s` (Unix time).
pub(super) fn lines(tls: &TlsOptions, now_s: i64) -> Vec<Line> {
    let mut lines = Vec::new();
    for (cert, key) in tls.cert.iter().zip(&tls.key) {
        lines.push(line("certificate", pair_facts(cert, key, now_s), now_s));
        lines.extend(key_line(key));
    }
    for ca in &tls.client_ca {
        let found = read_pem(ca).and_then(|bytes| facts(&Pem { name: ca, bytes: &bytes }));
        lines.push(line("authority of clients", found, now_s));
    }
    lines
}

fn pair_facts(cert: &str, key: &str, now_s: i64) -> Result<Facts, CertificateError> {
    let (chain_bytes, key_bytes) = (read_pem(cert)?, read_pem(key)?);
    let chain = Pem { name: cert, bytes: &chain_bytes };
    PemPair { chain, key: Pem { name: key, bytes: &key_bytes } }.check(now_s)
}

fn line(name: &'static str, found: Result<Facts, CertificateError>, now_s: i64) -> Line {
    let needed = Value::Text("a third of its life".to_owned());
    let facts = match found {
        Ok(facts) => facts,
        Err(error) => {
            return Line::new(
                name,
                Status::Short,
                Value::Text("cannot be used".to_owned()),
                needed,
                sentence(&error),
            );
        }
    };
    let status = match () {
        () if facts.is_late(now_s) => Status::Short,
        () if facts.is_due(now_s) => Status::Advice,
        () => Status::Ok,
    };
    let left = facts.left_text(now_s);
    let Facts { source, names, not_after_s, .. } = facts;
    let of = if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) };
    let end = if not_after_s < now_s { "expired at" } else { "holds until" };
    let why = format!("{source}{of} {end} {}.", date_text(not_after_s));
    Line::new(name, status, Value::Text(left), needed, why)
}

/// `None` without a file: the certificate's line reports that.
fn key_line(key: &str) -> Option<Line> {
    let mode = fs::metadata(key).ok()?.permissions().mode() & 0o7777;
    let status = if mode & OTHERS_READ == 0 { Status::Ok } else { Status::Advice };
    let why = format!("{key}: whoever can read it can speak in the server's name.");
    let (value, needed) = (format!("mode {mode:04o}"), "others cannot read it".to_owned());
    let line = Line::new("key", status, Value::Text(value), Value::Text(needed), why);
    Some(line.mended_by(format!("chmod o= '{}'", key.replace('\'', r"'\''"))))
}

fn sentence(text: &dyn Display) -> String {
    format!("{text}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::{Tree, authority, certificate};

    /// A tree with a certificate, its key and an authority, and the options that name them.
    fn tree() -> (Tree, TlsOptions) {
        let tree = Tree::empty();
        let (chain, key) = certificate(&["a.test", "b.test"]);
        for (name, text) in [("tls.crt", chain.as_str()), ("tls.key", &key), ("ca.crt", authority().as_str())]
        {
            tree.write(name, text);
        }
        let path = |name: &str| vec![tree.root().join(name).to_str().unwrap().to_owned()];
        let options = TlsOptions {
            cert: path("tls.crt"),
            key: path("tls.key"),
            client_ca: path("ca.crt"),
            ..TlsOptions::default()
        };
        fs::set_permissions(&options.key[0], fs::Permissions::from_mode(0o640)).unwrap();
        (tree, options)
    }

    fn judged(options: &TlsOptions, now_s: i64) -> Vec<(&'static str, Status)> {
        lines(options, now_s).into_iter().map(|line| (line.name, line.status)).collect()
    }

    #[test]
    fn an_end_that_comes_near_is_told_before_it_comes() {
        let (_tree, options) = tree();
        let end_s = pair_facts(&options.cert[0], &options.key[0], 1_800_000_000).unwrap().not_after_s;
        for (days_left, status) in [
            (90, Status::Ok),
            (89, Status::Advice),
            (7, Status::Advice),
            (6, Status::Short),
            (0, Status::Short),
            (-1, Status::Short),
        ] {
            let found = judged(&options, end_s - days_left * 24 * 60 * 60);
            assert_eq!(found[0], ("certificate", status), "{days_left} days");
            assert_eq!(found[1], ("key", Status::Ok));
            assert_eq!(found[2], ("authority of clients", status), "it ends at the same time");
        }
        let line = &lines(&options, end_s - 8 * 24 * 60 * 60)[0];
        assert_eq!(line.value, Value::Text("8 days".to_owned()));
        let wanted = format!("{} for a.test, b.test holds until {}.", options.cert[0], date_text(end_s));
        assert_eq!(line.why, wanted);
    }

    #[test]
    fn a_key_that_others_can_read_is_told_with_the_command_that_mends_it() {
        let (_tree, options) = tree();
        fs::set_permissions(&options.key[0], fs::Permissions::from_mode(0o644)).unwrap();
        let line = lines(&options, 1_800_000_000).remove(1);
        assert_eq!((line.status, line.value), (Status::Advice, Value::Text("mode 0644".to_owned())));
        assert_eq!(line.mend, Some(format!("chmod o= '{}'", options.key[0])));
    }

    #[test]
    fn what_cannot_be_served_falls_short() {
        let (tree, options) = tree();
        tree.write("tls.key", &certificate(&["a.test"]).1);
        tree.write("ca.crt", "");
        let found = lines(&options, 1_800_000_000);
        assert_eq!((found[0].status, found[2].status), (Status::Short, Status::Short));
        assert!(found[0].why.contains("tls.key: holds the key of another certificate"), "{}", found[0].why);
        assert!(found[2].why.ends_with("ca.crt: is empty."), "{}", found[2].why);
        fs::remove_file(&options.key[0]).unwrap();
        let found = judged(&options, 1_800_000_000);
        assert_eq!(found, [("certificate", Status::Short), ("authority of clients", Status::Short)]);
        assert_eq!(judged(&TlsOptions::default(), 0), []);
    }
}
