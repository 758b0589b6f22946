//! Addresses to listen at: an IP address and port, or a path in the file system.
//!
//! Parsing and printing are inverse.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Prefix of a path.
const UNIX: &str = "unix:";
/// Maximum length of a path, in bytes: `sun_path` has 108, the last of them zero (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// A listen address. Written as `127.0.0.1:8000`, `[::1]:8000` or `unix:/run/throng/throng.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP. Port 0: the kernel chooses the port.
    Tcp(SocketAddr),
    /// A Unix socket at this absolute path of at most 107 bytes. Its connections never use TLS.
    Unix(PathBuf),
}

impl Listen {
    /// The IP address and port, unless it is a path.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The path, unless it is an IP address.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Listen {
    fn from(address: (I, u16)) -> Self {
        Self::Tcp(address.into())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// The text is not a listen address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoListen;

impl fmt::Display for NoListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an IP address with its port nor unix: and an absolute path of at most 107 bytes")
    }
}

impl std::error::Error for NoListen {}

impl FromStr for Listen {
    type Err = NoListen;

    fn from_str(text: &str) -> Result<Self, NoListen> {
        let Some(path) = text.strip_prefix(UNIX) else {
            return text.parse().map(Self::Tcp).map_err(|_| NoListen);
        };
        let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
        if is_path && path.len() <= PATH_BYTES_MAX { Ok(Self::Unix(path.into())) } else { Err(NoListen) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_printed() {
        for text in ["127.0.0.1:8000", "[::1]:0", "unix:/run/throng/throng.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!(Listen::from(([127, 0, 0, 1], 80)), "127.0.0.1:80".parse().unwrap());
        let path: Listen = "unix:/a".parse().unwrap();
        assert_eq!((path.path(), path.address()), (Some(Path::new("/a")), None));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let long = format!("unix:/{}", "a".repeat(PATH_BYTES_MAX - 1));
        assert!(long.parse::<Listen>().is_ok());
        for text in
            ["", "8000", "localhost:80", "unix:", "unix:run/a", "unix:/run/", "/run/a", &format!("{long}a")]
        {
            assert_eq!(text.parse::<Listen>(), Err(NoListen), "{text}");
        }
    }
}
