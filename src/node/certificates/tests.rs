//! Tests of the certificates of a running server, with real files.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::tls::fixtures::{Authority, leaf};

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("throng-certificates-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn write_pair(&self, (chain, key): &(String, String)) {
        self.write("tls.crt", chain);
        self.write("tls.key", key);
    }

    fn config(&self) -> Config {
        let tls = TlsOptions {
            cert: vec![self.path("tls.crt")],
            key: vec![self.path("tls.key")],
            ..TlsOptions::default()
        };
        Config { tls, ..Config::default() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn mailboxes() -> Arc<[Mailbox]> {
    (0..2).map(|_| Mailbox::new(Box::new(|| {}))).collect()
}

fn load(config: &Config) -> Certificates {
    Certificates::load(config, mailboxes()).unwrap().unwrap().0
}

/// The number of letters queued for each shard.
fn sent(certificates: &Certificates) -> Vec<usize> {
    certificates.0.mailboxes.iter().map(Mailbox::len).collect()
}

#[test]
fn without_certificates_connections_are_plain() {
    assert!(Certificates::load(&Config::default(), mailboxes()).unwrap().is_none());
}

#[test]
fn every_shard_is_handed_what_is_new_and_a_failure_changes_nothing() {
    let folder = Folder::new();
    folder.write_pair(&leaf(&["old.test"]));
    let certificates = load(&folder.config());
    assert_eq!((sent(&certificates), certificates.counts()), (vec![0, 0], (0, 0)));
    let old = certificates.facts();
    folder.write("tls.crt", &leaf(&["new.test"]).0);
    let error = certificates.reload().unwrap_err();
    assert_eq!(error.name, folder.path("tls.key"), "it is the old certificate's");
    assert_eq!((sent(&certificates), certificates.counts()), (vec![0, 0], (0, 1)));
    assert_eq!(certificates.facts(), old);
    folder.write_pair(&leaf(&["new.test"]));
    certificates.reload().unwrap();
    assert_eq!((sent(&certificates), certificates.counts()), (vec![1, 1], (1, 1)));
    assert_eq!(certificates.facts()[0].names, ["new.test"]);
    fs::remove_file(folder.path("tls.key")).unwrap();
    let error = certificates.reload().unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: cannot be read: ", folder.path("tls.key"))), "{error}");
}

#[test]
fn files_that_change_are_read_anew_once_they_rest() {
    let folder = Folder::new();
    folder.write_pair(&leaf(&["old.test"]));
    let certificates = load(&folder.config());
    let look = || {
        certificates.look();
        certificates.counts()
    };
    assert_eq!([look(), look(), look()], [(0, 0); 3]);
    let (chain, key) = leaf(&["new.test"]);
    folder.write("tls.crt", &chain);
    assert_eq!(look(), (0, 0), "perhaps the key is still to come");
    folder.write("tls.key", &key);
    assert_eq!([look(), look(), look()], [(0, 0), (1, 0), (1, 0)]);
    folder.write("tls.key", "nonsense");
    assert_eq!(
        [look(), look(), look(), look()],
        [(1, 0), (1, 1), (1, 1), (1, 1)],
        "one attempt for one change"
    );
    fs::remove_file(folder.path("tls.key")).unwrap();
    assert_eq!([look(), look(), look()], [(1, 1), (1, 2), (1, 2)]);
    folder.write("tls.key", &key);
    assert_eq!([look(), look(), look()], [(1, 2), (2, 2), (2, 2)]);
}

/// Kubernetes writes a new directory and renames a link to it over the old link; the files' own paths lead through it.
#[test]
fn a_link_that_is_swapped_shows() {
    let folder = Folder::new();
    let put = |version: &str, name: &str| {
        let directory = folder.0.join(version);
        fs::create_dir(&directory).unwrap();
        let (chain, key) = leaf(&[name]);
        fs::write(directory.join("tls.crt"), chain).unwrap();
        fs::write(directory.join("tls.key"), key).unwrap();
        symlink(version, folder.0.join("..data.new")).unwrap();
        fs::rename(folder.0.join("..data.new"), folder.0.join("..data")).unwrap();
    };
    put("1", "old.test");
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), folder.0.join(name)).unwrap();
    }
    let certificates = load(&folder.config());
    put("2", "new.test");
    certificates.look();
    certificates.look();
    assert_eq!(certificates.facts()[0].names, ["new.test"]);
}

#[test]
fn tickets_outlive_certificates_but_not_the_authorities_of_clients() {
    let folder = Folder::new();
    folder.write_pair(&leaf(&["a.test"]));
    folder.write("ca.pem", Authority::new().pem());
    let mut config = folder.config();
    config.tls.client_ca = vec![folder.path("ca.pem")];
    let certificates = load(&config);
    let ticketer = || Arc::clone(&certificates.0.state().ticketer);
    let first = ticketer();
    folder.write_pair(&leaf(&["b.test"]));
    certificates.reload().unwrap();
    assert!(Arc::ptr_eq(&first, &ticketer()));
    folder.write("ca.pem", "nonsense");
    certificates.reload().unwrap_err();
    assert!(Arc::ptr_eq(&first, &ticketer()));
    folder.write("ca.pem", Authority::new().pem());
    certificates.reload().unwrap();
    assert!(!Arc::ptr_eq(&first, &ticketer()), "who was known by the old authority is not known any more");
}

#[test]
fn certificates_may_be_in_memory() {
    let pem = |name: &str| {
        let (chain, key) = leaf(&[name]);
        PemText { name: name.to_owned(), chain, key }
    };
    let tls = TlsOptions { pem: vec![pem("a.test"), pem("b.test")], ..TlsOptions::default() };
    let certificates = load(&Config { tls, ..Config::default() });
    let names = || certificates.facts().into_iter().map(|facts| facts.source).collect::<Vec<_>>();
    assert_eq!(names(), ["a.test", "b.test"]);
    certificates.reload_with(vec![PemText { name: "c.test".into(), ..PemText::default() }]).unwrap_err();
    certificates.reload().unwrap();
    assert_eq!(names(), ["a.test", "b.test"]);
    certificates.reload_with(vec![pem("c.test")]).unwrap();
    assert_eq!((names(), certificates.counts()), (vec!["c.test".to_owned()], (2, 1)));
}

#[test]
fn a_self_signed_certificate_is_for_this_machine() {
    let listen = vec![
        "0.0.0.0:443".parse().unwrap(),
        "192.0.2.7:443".parse().unwrap(),
        "127.0.0.1:1".parse().unwrap(),
    ];
    let tls = TlsOptions { self_signed: true, ..TlsOptions::default() };
    let certificates = load(&Config { listen, tls, ..Config::default() });
    let facts = certificates.facts();
    assert_eq!((facts.len(), facts[0].names.as_slice()), (1, &["localhost".to_owned()][..]));
    let left_s = facts[0].not_after_s - now_s();
    assert!(left_s > 364 * DAY_S && left_s <= 365 * DAY_S, "{left_s}");
    let text = certificates.0.state().options.pem[0].chain.clone();
    let pem = Pem { name: "made", bytes: text.as_bytes() };
    let der = crate::tls::certificates::certificates(&pem).unwrap().remove(0);
    let bytes = |octets: &[u8]| {
        der.windows(octets.len() + 2).any(|part| {
            // A name of kind 7 (an address), and its length.
            part[0] == 0x87 && usize::from(part[1]) == octets.len() && part[2..] == *octets
        })
    };
    assert!(bytes(&[192, 0, 2, 7]) && bytes(&[127, 0, 0, 1]) && !bytes(&[0, 0, 0, 0]));
}

/// A key without its frame, cut off, or in quotes must not be logged as a path.
#[test]
fn what_may_be_a_key_is_not_told() {
    let body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
    for value in [body, &body[7..], &format!("\"{body}\""), &format!("/{body}\n{body}=")] {
        let error = read_any(KEY_PEM, value).err().unwrap().to_string();
        assert!(error.starts_with(KEY_PEM) && !error.contains(&body[7..]), "{error}");
    }
    let error = read_any(KEY_PEM, "/nowhere/key.pem").err().unwrap().to_string();
    assert!(error.starts_with("/nowhere/key.pem"), "{error}");
}

#[test]
fn a_file_that_cannot_hold_pem_is_refused() {
    let folder = Folder::new();
    folder.write("large", &"x".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 1));
    let error = read(&folder.path("large")).unwrap_err().to_string();
    assert!(error.ends_with("cannot be read: it is larger than 1 MiB"), "{error}");
    let mut config = folder.config();
    config.tls.key.clear();
    let error = Certificates::load(&config, mailboxes()).unwrap_err();
    assert_eq!(error.to_string(), "TLS: cannot be used: 1 files with certificates, 0 with keys");
    let error = startup_error(error);
    assert!(is_certificate_error(&error) && !is_certificate_error(&io::Error::other("else")));
}
