//! Binding the addresses clients connect to, and saying who is in the way when that fails.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::session::front::port_owner::{self, Holder};

/// A bound and listening socket, not yet part of a runtime. Dropping a Unix one removes its file.
#[derive(Debug)]
pub(crate) enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix domain, with the file it made.
    Unix(unix::UnixListener, SocketFile),
}

/// Why an address cannot be listened on. Reaction: the daemon does not start.
#[derive(Debug, Error)]
pub(crate) enum BindError {
    /// The kernel refuses the address for another reason than that it is taken.
    #[error("cannot listen on {address}: {source}")]
    Io { address: String, source: io::Error },
    /// Another process serves it.
    #[error("cannot listen on {address}: in use by {holder}")]
    InUse { address: String, holder: Holder },
    /// The path of a Unix socket names something that is none; it is left alone.
    #[error("cannot listen on {address}: a file that is not a socket is in the way")]
    NotASocket { address: String },
}

impl Listener {
    /// Listens on a TCP address.
    ///
    /// # Errors
    /// [`BindError`], with the process that holds the address where it can be seen.
    pub(crate) fn tcp(address: SocketAddr) -> Result<Self, BindError> {
        listen_tcp(address).map(Self::Tcp).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse {
                address: address.to_string(),
                holder: port_owner::of_tcp(address),
            },
            _ => BindError::Io { address: address.to_string(), source },
        })
    }

    /// Listens on a Unix socket at `path` with permissions `mode`. The folder is made where it is
    /// missing; a socket file that nobody serves any more is replaced.
    ///
    /// # Errors
    /// [`BindError`]; a socket that another process serves is left alone, and the process is named.
    pub(crate) fn unix(path: &Path, mode: u32) -> Result<Self, BindError> {
        let address = path.display().to_string();
        let io = |source| BindError::Io { address: address.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        match fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => {
                return Err(BindError::NotASocket { address });
            }
            Ok(_) => match unix::UnixStream::connect(path) {
                Ok(stream) => {
                    return Err(BindError::InUse {
                        address,
                        holder: port_owner::of_unix_peer(&stream),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(io)?;
                }
                // Somebody may serve it, in a way or for users that are not ours.
                Err(error) => return Err(io(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let listener = unix::UnixListener::bind(path).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io)?;
        let file = SocketFile::of(path).map_err(io)?;
        Ok(Self::Unix(listener, file))
    }
}

/// The file of a Unix socket, removed on drop if it is still the one we made: a successor may have
/// put its own in the same place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            // Nothing better can be done on the way out than to leave a stale file, which the next
            // start replaces.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connections the kernel keeps for us while we are busy; it cuts the figure to `somaxconn`.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_that_left_its_socket_file_does_not_stop_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/mysqld.sock");
        let Listener::Unix(listener, file) = Listener::unix(&path, 0o666).unwrap() else {
            unreachable!("asked for a Unix socket")
        };
        drop(listener);
        std::mem::forget(file);
        assert!(path.exists(), "the file outlives a process that crashed");

        let again = Listener::unix(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(again);
        assert!(!path.exists(), "a clean end leaves nothing");
    }

    #[test]
    fn a_socket_that_somebody_serves_is_left_alone_and_the_server_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mysqld.sock");
        let _held = Listener::unix(&path, 0o666).unwrap();
        let error = Listener::unix(&path, 0o666).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(unix::UnixStream::connect(&path).is_ok(), "the first one still serves");
    }

    #[test]
    fn a_socket_that_refuses_only_us_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.sock");
        let _served = unix::UnixDatagram::bind(&path).unwrap();
        assert!(matches!(Listener::unix(&path, 0o666), Err(BindError::Io { .. })));
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(matches!(Listener::unix(&path, 0o666), Err(BindError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let Listener::Tcp(held) = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap() else {
            unreachable!("asked for TCP")
        };
        let error = Listener::tcp(held.local_addr().unwrap()).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
    }

    #[test]
    fn the_file_of_a_successor_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mysqld.sock");
        let old = Listener::unix(&path, 0o666).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        let _new = Listener::unix(&path, 0o666).unwrap();
        drop(old);
        assert!(path.exists());
    }
}
