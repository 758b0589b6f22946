//! A home whose memory answers at once: each call returns its result.

use std::sync::Arc;

use super::{
    Answer, Done, Home, Joined, Joining, Limits, Now, Published, Question, Refused, Terms, in_memory,
};
use crate::base::seed::Seed;
use crate::hub::Publication;
use crate::hub::options::ChannelOptions;

impl Home {
    /// A home without channels, with the memory of [`in_memory`].
    pub fn new(limits: Limits, (seed, number): (Seed, u16)) -> Self {
        let memory = in_memory(&limits, (seed, number));
        Self::with_memory(limits, seed, memory)
    }

    /// [`Home::handle_subscribe`], answered at once.
    ///
    /// # Errors
    /// When the limit of channels is reached, or memory is short and the channel would be new.
    pub fn subscribe(
        &mut self,
        now: Now,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        joining: &Joining,
    ) -> Result<Joined, Refused> {
        let joining = Box::new(joining.clone());
        let done = self.handle_subscribe(now, Arc::clone(channel), Arc::clone(options), joining, ());
        let Some(Done::Subscribed { outcome, .. }) = done else { return Err(Refused::Unavailable) };
        outcome.map(|joined| *joined)
    }

    /// [`Home::handle_publish`], answered at once.
    ///
    /// # Errors
    /// When the channel accepts no more publications, or the limit of channels is reached.
    pub fn publish(
        &mut self,
        now: Now,
        publication: Box<Publication>,
        options: &Arc<ChannelOptions>,
        terms: &Terms,
    ) -> Result<Published, Refused> {
        let done = self.handle_publish(now, publication, Arc::clone(options), terms.clone(), (None, None));
        let Some(Done::Published { outcome, .. }) = done else { return Err(Refused::Unavailable) };
        outcome
    }

    /// [`Home::handle_ask`], answered at once.
    pub fn ask(
        &mut self,
        now: Now,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        question: &Question,
    ) -> Answer {
        let done = self.handle_ask(now, channel, Arc::clone(options), question.clone(), (None, ()));
        let Some(Done::Answered { answer, .. }) = done else { return Answer::Refused(Refused::Unavailable) };
        answer
    }
}
