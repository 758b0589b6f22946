//! The output of log lines: a bounded queue, and a thread that writes it.
//!
//! Invariant: logging never blocks on a reader, and never fails. A full disk, a pipe without a reader and a closed
//! pipe only lose lines, which are counted. When lines can be written again, one of them gives the number of lost
//! lines. Left out: the form and the selection of lines (`logs`).

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::logs::ANNOUNCE_TARGET;

/// Maximum size of the queue in bytes: thousands of lines, and small for a server.
const QUEUED_BYTES_MAX: usize = 1 << 20;
/// Interval of retries when a write would block: another program has made the descriptor non-blocking.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// A handle to the queue.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a line arrives, and when all are written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    /// Size of `lines` in bytes.
    bytes: usize,
    /// A line was taken from the queue and is not written yet.
    is_writing: bool,
    lost: u64,
}

impl LogWriter {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = Self(Arc::default());
        let shared = Arc::clone(&writer.0);
        thread::Builder::new().name("logs".to_owned()).spawn(move || write_all(&shared, sink))?;
        Ok(writer)
    }

    /// Queues a line, including its line end, or counts it as lost. Never blocks.
    pub(super) fn put(&self, line: &[u8]) {
        let mut queue = self.0.lock();
        if queue.bytes + line.len() > QUEUED_BYTES_MAX {
            queue.lost += 1;
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.into());
        drop(queue);
        self.0.changed.notify_all();
    }

    /// The number of lost lines.
    pub(super) fn lost(&self) -> u64 {
        self.0.lock().lost
    }

    /// Waits until all lines are written or lost, up to a timeout.
    pub(super) fn flush(&self, patience: Duration) {
        let queue = self.0.lock();
        // The result does not matter: the process is about to end.
        drop(self.0.changed.wait_timeout_while(queue, patience, |queue| !queue.is_done()));
    }
}

/// For the subscriber, which makes one write per event.
impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn is_done(&self) -> bool {
        self.lines.is_empty() && !self.is_writing
    }
}

impl Shared {
    /// Code under the lock leaves no partial state, so the lock is usable after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next line.
    fn take(&self) -> Box<[u8]> {
        let mut queue = self.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.is_writing = true;
                return line;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The number of lost lines, once the queue has room to report it.
    fn loss(&self) -> Option<u64> {
        let queue = self.lock();
        (queue.bytes <= QUEUED_BYTES_MAX / 2).then_some(queue.lost)
    }

    /// Records that the line was written or lost.
    fn done(&self, is_lost: bool) {
        let mut queue = self.lock();
        queue.lost += u64::from(is_lost);
        queue.is_writing = false;
        drop(queue);
        self.changed.notify_all();
    }
}

/// The main function of the thread.
fn write_all(shared: &Shared, sink: impl Write) {
    let mut page = Page { sink, is_torn: false };
    let (mut told, mut why) = (0, None);
    loop {
        let line = shared.take();
        let result = page.write(&line);
        let is_lost = result.is_err();
        match result {
            Err(error) => why = Some(error),
            Ok(()) => {
                if let Some(lost) = shared.loss().filter(|&lost| lost > told) {
                    tell(lost - told, why.take());
                    told = lost;
                }
            }
        }
        // Not earlier: a flush also waits for the report just above.
        shared.done(is_lost);
    }
}

/// Logs the loss of lines.
fn tell(lost: u64, why: Option<io::Error>) {
    let why = why
        .map_or_else(|| "they were written faster than they were read".to_owned(), |error| error.to_string());
    tracing::warn!(target: ANNOUNCE_TARGET, "{lost} log lines were lost: {why}");
}

/// The output with its state.
struct Page<S> {
    sink: S,
    /// Whether an incomplete line was written: the next one needs a new line first.
    is_torn: bool,
}

impl<S: Write> Page<S> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_some(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            let written = self.write_some(rest)?;
            rest = &rest[written..];
            self.is_torn = !rest.is_empty();
        }
        Ok(())
    }

    /// Writes at least one byte.
    #[expect(clippy::disallowed_methods, reason = "a thread that does nothing but write waits until it can")]
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.sink.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Receiver, Sender};
    use tracing_subscriber::fmt::MakeWriter;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A sink whose writes have prepared results, and that returns what it accepted.
    struct Told {
        orders: Receiver<io::Result<usize>>,
        taken: Sender<String>,
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without further results, everything is accepted.
            let count = self.orders.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.taken.send(String::from_utf8(bytes[..count].to_vec()).unwrap()).ok();
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told() -> (LogWriter, Sender<io::Result<usize>>, Receiver<String>) {
        let ((orders, taken_orders), (taken, shown)) = (mpsc::channel(), mpsc::channel());
        (LogWriter::start(Told { orders: taken_orders, taken }).unwrap(), orders, shown)
    }

    /// Gives the subscriber's lines to the writer, as in the binary.
    struct To(LogWriter);

    impl<'a> MakeWriter<'a> for To {
        type Writer = &'a LogWriter;

        fn make_writer(&'a self) -> &'a LogWriter {
            &self.0
        }
    }

    #[test]
    fn lines_are_written_whole_and_in_order() {
        let (writer, orders, shown) = told();
        for order in [Ok(3), Err(ErrorKind::Interrupted), Err(ErrorKind::WouldBlock), Ok(100), Ok(100)] {
            orders.send(order.map_err(io::Error::from)).unwrap();
        }
        writer.put(b"first\n");
        writer.put(b"second\n");
        writer.flush(PATIENCE);
        assert_eq!(shown.try_iter().collect::<Vec<_>>(), ["fir", "st\n", "second\n"]);
        assert_eq!(writer.lost(), 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_a_torn_line_spoils_no_other() {
        let (writer, orders, shown) = told();
        for order in [Ok(2), Err(ErrorKind::StorageFull), Err(ErrorKind::BrokenPipe), Ok(0)] {
            orders.send(order.map_err(io::Error::from)).unwrap();
        }
        drop(orders);
        for line in ["torn\n", "lost\n", "lost as well\n", "whole\n"] {
            writer.put(line.as_bytes());
        }
        writer.flush(PATIENCE);
        assert_eq!(shown.try_iter().collect::<String>(), "to\nwhole\n");
        assert_eq!(writer.lost(), 3);
    }

    #[test]
    fn who_logs_never_waits_and_a_flush_not_for_ever() {
        let (writer, orders, shown) = told();
        let line = [b'x'; 1 << 10];
        // The writer thread holds one line that it cannot write.
        for _ in 0..3000 {
            writer.put(&line);
        }
        let kept = usize::try_from(3000 - writer.lost()).unwrap();
        assert!(
            (QUEUED_BYTES_MAX / line.len()..=QUEUED_BYTES_MAX / line.len() + 1).contains(&kept),
            "{kept}"
        );
        writer.flush(Duration::from_millis(1));
        assert!(shown.try_recv().is_err());
        drop(orders);
        writer.flush(PATIENCE);
        assert_eq!(shown.try_iter().collect::<String>().len(), kept * line.len());
    }

    /// The subscriber is set for this thread only, so that other tests keep theirs.
    #[test]
    fn losses_are_told_once_when_lines_can_be_written_again() {
        let ((orders, taken_orders), (taken, shown)) = (mpsc::channel(), mpsc::channel());
        let shared = Arc::new(Shared::default());
        let writer = LogWriter(Arc::clone(&shared));
        for order in [Err(ErrorKind::StorageFull.into()), Err(ErrorKind::StorageFull.into())] {
            orders.send(order).unwrap();
        }
        let subscriber = tracing_subscriber::fmt()
            .with_writer(To(writer.clone()))
            .with_ansi(false)
            .without_time()
            .finish();
        thread::spawn(move || {
            tracing::subscriber::with_default(subscriber, || {
                write_all(&shared, Told { orders: taken_orders, taken });
            });
        });
        writer.put(b"lost\n");
        writer.put(b"lost\n");
        writer.flush(PATIENCE);
        assert_eq!(writer.lost(), 2);
        drop(orders);
        writer.put(b"one\n");
        writer.put(b"two\n");
        writer.flush(PATIENCE);
        let text: String = shown.try_iter().collect();
        assert_eq!(text.matches("2 log lines were lost: no storage space").count(), 1, "{text}");
        assert!(text.starts_with("one\n") && text.contains("two\n"), "{text}");
    }
}
