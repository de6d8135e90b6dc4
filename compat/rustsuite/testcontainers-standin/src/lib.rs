//! The part of the `testcontainers` crate that the test-suite of `zookeeper-client` uses, with server
//! processes in place of containers.
//!
//! A "container" is a directory with the files that the image would have mounted, a configuration
//! derived from the suite's own, and one process started by the launcher that `COMPAT_ZKSERVER` names
//! (`compat/zkserver/zkServer.sh`). Paths inside the container are mapped to that directory, and the
//! client port 2181 to a free port of the loopback interface.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The client port inside the image.
const CLIENT_PORT: u16 = 2181;

/// How long a server may take to start serving. The suite's own health check allows twice as long.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a server may take to leave after SIGTERM before it is killed, as with `docker stop`.
const STOP_LIMIT: Duration = Duration::from_secs(10);

pub mod clients {
    pub use crate::Cli;
}

pub mod core {
    pub use crate::{Container, Healthcheck, LogStream, RunnableImage, WaitFor};
}

pub mod images {
    pub mod generic {
        pub use crate::GenericImage;
    }
}

/// The condition for an image to be up. The suite knows one.
#[derive(Clone, Copy)]
pub enum WaitFor {
    Healthcheck,
}

/// The suite's health check is `zkServer.sh status`; the stand-in always asks the port itself.
#[derive(Clone, Copy, Default)]
pub struct Healthcheck;

impl Healthcheck {
    pub fn with_cmd<T>(self, _: impl Iterator<Item = T>) -> Self {
        self
    }

    pub fn with_interval(self, _: Duration) -> Self {
        self
    }

    pub fn with_retries(self, _: u32) -> Self {
        self
    }
}

/// What the suite says about an image. Name and tag select nothing: the launcher knows one server.
#[derive(Default)]
pub struct GenericImage {
    env: BTreeMap<String, String>,
}

impl GenericImage {
    pub fn new(_name: &str, _tag: &str) -> Self {
        Self::default()
    }

    pub fn with_env_var(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    pub fn with_healthcheck(self, _: Healthcheck) -> Self {
        self
    }

    pub fn with_wait_for(self, _: WaitFor) -> Self {
        self
    }
}

/// An image with what is mounted into it.
pub struct RunnableImage<I> {
    image: I,
    /// Path in the container to path on this machine.
    volumes: BTreeMap<String, PathBuf>,
    /// Ports are this machine's own: the suite then chose them itself.
    host_network: bool,
}

impl<I> From<I> for RunnableImage<I> {
    fn from(image: I) -> Self {
        Self { image, volumes: BTreeMap::new(), host_network: false }
    }
}

impl<I> RunnableImage<I> {
    pub fn with_volume(mut self, (host, container): (impl Into<PathBuf>, impl Into<String>)) -> Self {
        self.volumes.insert(container.into(), host.into());
        self
    }

    pub fn with_network(mut self, network: impl AsRef<str>) -> Self {
        assert_eq!(network.as_ref(), "host", "the stand-in knows no other network");
        self.host_network = true;
        self
    }
}

/// Starts images.
#[derive(Default)]
pub struct Cli;

impl Cli {
    /// Starts the server and returns once it serves.
    pub fn run(&self, image: RunnableImage<GenericImage>) -> Container<'_, GenericImage> {
        let container = Container::create(image);
        container.start();
        container
    }
}

/// One server. Dropping it kills the process and removes its directory.
pub struct Container<'d, I> {
    dir: PathBuf,
    env: BTreeMap<String, String>,
    port: u16,
    child: Mutex<Option<Child>>,
    docker: PhantomData<&'d I>,
}

impl<'d> Container<'d, GenericImage> {
    fn create(image: RunnableImage<GenericImage>) -> Self {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let dir = std::env::temp_dir().join(format!(
            "zookeeper-client-{}-{}",
            std::process::id(),
            SERIAL.fetch_add(1, Ordering::Relaxed)
        ));
        let data = dir.join("data");
        fs::create_dir_all(&data).unwrap();

        // A volume that lies below another one comes first, so the deepest match wins.
        let mut paths: Vec<(String, String)> =
            image.volumes.iter().map(|(to, from)| (to.clone(), from.to_str().unwrap().to_owned())).collect();
        if !image.volumes.contains_key("/data") {
            paths.push(("/data".to_owned(), data.to_str().unwrap().to_owned()));
        }
        paths.sort_by_key(|(to, _)| std::cmp::Reverse(to.len()));
        // Only a value that begins with the path is a path: "=/data" and not "x/data".
        let map_paths = |text: &str| {
            paths.iter().fold(text.to_owned(), |text, (to, from)| text.replace(&format!("={to}"), &format!("={from}")))
        };

        let config = match image.volumes.get("/conf/zoo.cfg") {
            Some(path) => fs::read_to_string(path).unwrap(),
            // What the image's entry point writes, as far as a test can see it.
            None => format!("dataDir=/data\nclientPort={CLIENT_PORT}\ntickTime=2000\n"),
        };
        let mut config = map_paths(&config);
        let port = if image.host_network {
            own_port(&config)
        } else {
            let port = free_port();
            config = map_port(&config, port);
            port
        };
        // The image has its own 8080; here the servers share one machine.
        config += "admin.enableServer=false\n";
        fs::write(dir.join("zoo.cfg"), config).unwrap();

        let env = image.image.env.iter().map(|(key, value)| (key.clone(), map_paths(value))).collect();
        Self { dir, env, port, child: Mutex::new(None), docker: PhantomData }
    }

    /// Starts the process with the directory and the port that it had before, and returns once it serves.
    pub fn start(&self) {
        let launcher = std::env::var_os("COMPAT_ZKSERVER").expect("COMPAT_ZKSERVER names no launcher");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new(launcher)
            .arg("start-foreground")
            .arg(self.dir.join("zoo.cfg"))
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("cannot start the launcher");
        *self.child.lock().unwrap() = Some(child);
        let deadline = Instant::now() + START_LIMIT;
        while !self.serves() {
            let exited = self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap();
            if let Some(status) = exited {
                panic!("the server left with {status}:\n{}", self.output());
            }
            assert!(Instant::now() < deadline, "the server does not serve:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the process as `docker stop` does. A stopped container stays stopped.
    pub fn stop(&self) {
        let Some(mut child) = self.child.lock().unwrap().take() else {
            return;
        };
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let deadline = Instant::now() + STOP_LIMIT;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The port of this machine that leads to a port of the container.
    pub fn get_host_port(&self, port: u16) -> u16 {
        assert_eq!(port, CLIENT_PORT, "only the client port is mapped");
        self.port
    }

    /// What the server prints from its first start on.
    pub fn stdout(&self) -> LogStream {
        LogStream { path: self.log() }
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn output(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Reports whether the server answers `srvr` as one that serves. A TLS port cannot be asked in plain
    /// text: there the open port has to do.
    fn serves(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let config = fs::read_to_string(self.dir.join("zoo.cfg")).unwrap();
        if config.contains("secureClientPort=") {
            return true;
        }
        let mut answer = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        stream.write_all(b"srvr").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.contains("Mode:")
    }
}

impl<I> Drop for Container<'_, I> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The output of a server.
pub struct LogStream {
    path: PathBuf,
}

impl LogStream {
    /// Waits until the server has printed the text.
    pub fn wait_for_message(self, message: &str) -> Result<(), String> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if fs::read_to_string(&self.path).map_err(|err| err.to_string())?.contains(message) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("{message:?} is not in the output of the server"))
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Puts the port in the place of the container's client port, plain or TLS.
fn map_port(config: &str, port: u16) -> String {
    let mut lines: Vec<String> = config
        .lines()
        .map(|line| match line.split_once('=') {
            Some((key @ ("clientPort" | "secureClientPort"), value)) if value.trim() == CLIENT_PORT.to_string() => {
                format!("{key}={port}")
            },
            _ => line.to_owned(),
        })
        .collect();
    lines.push(String::new());
    lines.join("\n")
}

/// The client port of an ensemble member that shares the machine's network: the one that its own
/// `server.N` line ends with.
fn own_port(config: &str) -> u16 {
    let data = config.lines().find_map(|line| line.strip_prefix("dataDir=")).expect("no dataDir");
    let id = fs::read_to_string(Path::new(data).join("myid")).expect("no myid");
    let key = format!("server.{}=", id.trim());
    let line = config.lines().find_map(|line| line.strip_prefix(&key)).expect("no line for this server");
    let (_, client) = line.rsplit_once(';').expect("no client port");
    client.rsplit(':').next().unwrap().parse().expect("no client port")
}
