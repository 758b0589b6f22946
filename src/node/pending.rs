//! Answers from a shard to its caller, in any executor or none.
//!
//! Invariant: the caller's waker is called in a thread that shares the caller's descriptor table. A shard may have a
//! table of its own, in which the number of an executor's wake-up descriptor, made later, can be a client's socket.
//! So a shard passes an answer, or its drop, to the [`Relay`]'s thread by means that need no descriptor. Executors
//! whose descriptors are in every table, as the control plane's, need no relay; their threads receive answers in
//! batches ([`ThreadPost`]).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::task::{Context, Poll};
use std::thread;

use tokio::sync::oneshot::{self, error::RecvError};

use super::post::ThreadPost;
use crate::hub::home::{self, Refused};
use crate::hub::socket_order::Gathered;
use crate::proto::centrifuge::Error;
use crate::shard::mailbox::{Letter, Mailbox};

/// The reason why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A field of the request is missing or invalid.
    BadRequest,
    /// The channel's namespace does not exist.
    UnknownChannel,
    /// The channel has no history, or no presence.
    NotAvailable,
    /// The message or the answer is too large, or the maximum number of channels is reached.
    LimitExceeded,
    /// The channel's rate of publications is exceeded, or memory is short: nothing was done. Try again later.
    TooManyRequests,
    /// The requested position is not in the stream.
    Unrecoverable,
    /// The limit of published bytes, or of letters, in the shards is reached: nothing was done. Try again later.
    Overloaded,
    /// The storage of the channel's history cannot be reached: nothing was done. Try again later.
    Unavailable,
    /// The shard has ended, or gave no answer in time: the result is not known.
    NoAnswer,
}

impl Failure {
    /// The protocol's error for this failure.
    pub fn error(self) -> Error {
        match self {
            Self::BadRequest => Error::BAD_REQUEST,
            Self::UnknownChannel => Error::UNKNOWN_CHANNEL,
            Self::NotAvailable => Error::NOT_AVAILABLE,
            Self::LimitExceeded => Error::LIMIT_EXCEEDED,
            Self::TooManyRequests => Error::TOO_MANY_REQUESTS,
            Self::Unrecoverable => Error::UNRECOVERABLE_POSITION,
            Self::Overloaded | Self::Unavailable | Self::NoAnswer => Error::INTERNAL,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooManyChannels | Refused::TooMuch => Self::LimitExceeded,
            Refused::TooManyPublications | Refused::MemoryShort => Self::TooManyRequests,
            Refused::Unrecoverable => Self::Unrecoverable,
            Refused::Unavailable => Self::Unavailable,
            Refused::TooManyWaiting => Self::Overloaded,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded => "the shards are overloaded; try again later",
            Self::Unavailable => "the history of the channel is not available; try again later",
            Self::NoAnswer => "the server gave no answer",
            Self::BadRequest
            | Self::UnknownChannel
            | Self::NotAvailable
            | Self::LimitExceeded
            | Self::TooManyRequests
            | Self::Unrecoverable => self.error().message,
        })
    }
}

impl std::error::Error for Failure {}

/// Converts a home's answer to the expected type; `None` for an answer of another kind.
pub(super) type Read<T> = fn(home::Answer) -> Option<T>;

fn outcome<T>(answer: Result<home::Answer, RecvError>, read: Read<T>) -> Result<T, Failure> {
    match answer {
        Ok(home::Answer::Refused(refused)) => Err(refused.into()),
        Ok(answer) => read(answer).ok_or(Failure::NoAnswer),
        Err(_) => Err(Failure::NoAnswer),
    }
}

fn gathered<T>(answer: Result<home::Answer, RecvError>, read: fn(Gathered) -> T) -> Result<T, Failure> {
    let whole = |answer| if let home::Answer::Gathered(gathered) = answer { Some(*gathered) } else { None };
    outcome(answer, whole).map(read)
}

/// The outcome of a call. The call has been sent: awaiting this, or [`Pending::wait`], only returns its outcome, and
/// dropping it cancels nothing. It works in any executor, and has no timeout; a server that has ended answers with
/// [`Failure::NoAnswer`] at once.
#[must_use = "it tells whether the call succeeded"]
#[derive(Debug)]
pub struct Pending<T>(State<T>);

enum State<T> {
    Failed(Failure),
    Waiting(oneshot::Receiver<home::Answer>, Read<T>),
    /// The result of an order to sockets.
    Gathered(oneshot::Receiver<home::Answer>, fn(Gathered) -> T),
    /// An order to all shards, and the function that makes its outcome.
    Ordered(oneshot::Receiver<()>, fn() -> T),
}

impl Pending<()> {
    /// The outcome of an order.
    pub(super) fn ordered(done: oneshot::Receiver<()>) -> Self {
        Self(State::Ordered(done, || ()))
    }
}

impl<T> Pending<T> {
    pub(super) fn failed(failure: Failure) -> Self {
        Self(State::Failed(failure))
    }

    /// The result of an order to sockets.
    pub(super) fn gathered(answer: oneshot::Receiver<home::Answer>, read: fn(Gathered) -> T) -> Self {
        Self(State::Gathered(answer, read))
    }

    pub(super) fn waiting(answer: oneshot::Receiver<home::Answer>, read: Read<T>) -> Self {
        Self(State::Waiting(answer, read))
    }

    /// Blocks the calling thread until the answer arrives.
    ///
    /// # Errors
    /// The failures of the call.
    ///
    /// # Panics
    /// In a thread that runs an asynchronous runtime: await it there.
    pub fn wait(self) -> Result<T, Failure> {
        match self.0 {
            State::Failed(failure) => Err(failure),
            State::Waiting(answer, read) => outcome(answer.blocking_recv(), read),
            State::Gathered(answer, read) => gathered(answer.blocking_recv(), read),
            State::Ordered(done, result) => {
                done.blocking_recv().map(|()| result()).map_err(|_| Failure::NoAnswer)
            }
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Failed(failure) => Poll::Ready(Err(*failure)),
            State::Waiting(answer, read) => Pin::new(answer).poll(cx).map(|answer| outcome(answer, *read)),
            State::Gathered(answer, read) => Pin::new(answer).poll(cx).map(|answer| gathered(answer, *read)),
            State::Ordered(done, result) => {
                Pin::new(done).poll(cx).map(|done| done.map(|()| result()).map_err(|_| Failure::NoAnswer))
            }
        }
    }
}

impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "Failed({failure:?})"),
            Self::Waiting(..) | Self::Gathered(..) | Self::Ordered(..) => f.write_str("Waiting"),
        }
    }
}

/// A function to be called in another thread.
pub(super) type Errand = Box<dyn FnOnce() + Send>;

/// A thread that delivers answers in place of the shards; it ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Relay(Sender<Errand>);

impl Relay {
    /// Starts the thread, with the descriptor table of the calling thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, errands) = mpsc::channel::<Errand>();
        let run = move || errands.into_iter().for_each(|errand| errand());
        thread::Builder::new().name("answers".to_owned()).spawn(run)?;
        Ok(Self(sender))
    }
}

/// The way of letters to the shards, and of answers back.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Directly. The answer must be awaited in an executor whose descriptors are in every table.
    Straight,
    /// Answers are delivered by a thread with the original descriptor table, for any executor.
    Relayed(Relay),
    /// In batches with all letters of one thread, for tasks of that thread.
    Together(Arc<ThreadPost>),
}

impl Way {
    /// Sends a letter to a shard.
    pub(super) fn send(&self, mailboxes: &[Mailbox], shard: usize, letter: Letter) {
        match self {
            Self::Straight | Self::Relayed(_) => mailboxes[shard].put(&mut vec![letter]),
            Self::Together(post) => post.send(shard, letter),
        }
    }

    /// Wakes the thread if it has answers that it was not woken for.
    pub(super) fn wake(&self) {
        match self {
            Self::Straight | Self::Relayed(_) => {}
            Self::Together(post) => post.wake(),
        }
    }
}

/// The sender of one answer. Dropped without an answer, it reports that there will be none.
pub(super) struct Reply<T: Send + 'static> {
    receiver: Option<oneshot::Sender<T>>,
    way: Way,
}

/// A sender and a receiver of one answer.
pub(super) fn reply<T: Send>(way: Way) -> (Reply<T>, oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    (Reply { receiver: Some(sender), way }, receiver)
}

impl<T: Send> Reply<T> {
    pub(super) fn send(mut self, answer: T) {
        if let Some(receiver) = self.receiver.take() {
            self.run(move || {
                // The receiver was dropped: the answer is not needed.
                receiver.send(answer).ok();
            });
        }
    }

    fn run(&self, errand: impl FnOnce() + Send + 'static) {
        match &self.way {
            Way::Relayed(relay) => {
                // Fails only if the thread has ended, which it has not while this clone exists.
                relay.0.send(Box::new(errand)).ok();
            }
            Way::Straight => errand(),
            Way::Together(post) => post.leave(Box::new(errand)),
        }
    }
}

impl<T: Send> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.take() {
            self.run(move || drop(receiver));
            if let Way::Together(post) = &self.way {
                // There may be no later turn, at whose end it would be woken.
                post.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::task::Wake;

    /// Reports the thread in which it was called.
    struct Told(Sender<Option<String>>);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.send(thread::current().name().map(str::to_owned)).unwrap();
        }
    }

    #[test]
    fn whoever_waits_is_woken_by_the_relay_also_when_there_is_no_answer() {
        for has_answer in [true, false] {
            let relay = Relay::start().unwrap();
            let (reply, receiver) = reply::<home::Answer>(Way::Relayed(relay));
            let mut pending = Pending::waiting(receiver, |_| Some(()));
            let (told, woken) = channel();
            let waker = Arc::new(Told(told)).into();
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut pending).poll(&mut cx).is_pending());
            let shard = thread::Builder::new().name("shard".into());
            let answer = move || if has_answer { reply.send(home::Answer::Removed) } else { drop(reply) };
            shard.spawn(answer).unwrap().join().unwrap();
            assert_eq!(woken.recv().unwrap().as_deref(), Some("answers"));
            let wanted = if has_answer { Ok(()) } else { Err(Failure::NoAnswer) };
            assert_eq!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(wanted));
        }
    }

    #[test]
    fn waiting_blocks_until_the_answer_is_there() {
        let (reply, receiver) = reply(Way::Straight);
        let pending = Pending::waiting(receiver, |_| Some(7));
        let shard = thread::spawn(move || reply.send(home::Answer::Removed));
        assert_eq!(pending.wait(), Ok(7));
        shard.join().unwrap();
        assert_eq!(Pending::<()>::failed(Failure::Overloaded).wait(), Err(Failure::Overloaded));
    }

    #[test]
    fn each_failure_has_its_code() {
        let codes = [
            (Failure::BadRequest, 107),
            (Failure::UnknownChannel, 102),
            (Failure::NotAvailable, 108),
            (Failure::LimitExceeded, 106),
            (Failure::TooManyRequests, 111),
            (Failure::Unrecoverable, 112),
            (Failure::Overloaded, 100),
            (Refused::Unavailable.into(), 100),
            (Refused::TooManyWaiting.into(), 100),
            (Failure::NoAnswer, 100),
        ];
        for (failure, code) in codes {
            assert_eq!(failure.error().code, code);
            assert!(!failure.to_string().is_empty());
        }
    }
}
