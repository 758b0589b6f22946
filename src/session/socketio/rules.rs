//! Rules of the configuration: what happens for an event, without an application.
//!
//! The first rule that matches an event applies. Everything about a rule is checked when the configuration is read. Left out:
//! carrying out (`sockets/logic`).

use super::template::{AckForm, Path, Template};
use crate::base::pattern;
use crate::hub::options::NamePattern;
use crate::proto::socketio::JsonArgs;

/// A rule for events (`socketio.rules`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Pattern of the event's name, in which `*` matches any run of characters.
    pub event: String,
    /// Pattern of the namespace; `None` for every namespace.
    pub namespace: Option<String>,
    /// Conditions beside these; a rule with an unmet condition does not match.
    pub require: Require,
    /// The actions, in this order.
    pub actions: Vec<RuleAction>,
    /// The room of [`RuleAction::Join`] and [`RuleAction::Leave`].
    pub room: Option<Template>,
    /// The rooms of [`RuleAction::Emit`]; none: the whole namespace.
    pub to: Vec<Template>,
    /// Whether the sender of the event does not receive what is emitted.
    pub except_sender: bool,
    /// Whether what is emitted is dropped for sockets with unsent bytes.
    pub is_volatile: bool,
    /// The name of what is emitted, if it is another than that of the event.
    pub rename: Option<String>,
    /// The answer to the event, before the actions.
    pub ack: Option<AckForm>,
    /// Events of one socket per second that the rule takes; further ones are dropped. 0: no limit.
    pub rate_per_s: u32,
    /// Whether [`RuleAction::Disconnect`] closes the connection.
    pub closes: bool,
}

/// An action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// The socket enters a room.
    Join,
    /// The socket leaves a room.
    Leave,
    /// Sends the event with its arguments to rooms, or to the whole namespace.
    Emit,
    /// Answers the event.
    Ack,
    /// Passes the event to the hook `socketio.proxy.event`.
    Hook,
    /// Nothing.
    Drop,
    /// Disconnects the client.
    Disconnect,
}

impl RuleAction {
    /// All of them, each with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("join", Self::Join),
        ("leave", Self::Leave),
        ("emit", Self::Emit),
        ("ack", Self::Ack),
        ("hook", Self::Hook),
        ("drop", Self::Drop),
        ("disconnect", Self::Disconnect),
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

/// Conditions of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Require {
    /// The users whose events match.
    pub user: UserRule,
    /// A room in which the socket must be.
    pub room: Option<Template>,
    /// Values of the event, each with the pattern that it must match.
    pub args: Vec<(Path, NamePattern)>,
}

/// The users whose events match a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserRule {
    /// All, and clients without a user.
    #[default]
    Any,
    /// Every client with a user.
    Known,
    /// These users, by patterns in which `*` matches any run of characters.
    Named(Vec<String>),
}

impl UserRule {
    fn allows(&self, user: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Known => !user.is_empty(),
            Self::Named(names) => !user.is_empty() && names.iter().any(|name| pattern::matches(name, user)),
        }
    }
}

/// An event that rules are applied to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) namespace: &'a str,
    pub(super) event: &'a str,
    pub(super) args: JsonArgs<'a>,
    /// The user of the socket; empty for none.
    pub(super) user: &'a str,
    /// The rooms of the socket, if they are known.
    pub(super) rooms: Option<&'a [Box<str>]>,
}

/// The rule for an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'r> {
    /// This one, with its number.
    Rule(usize, &'r Rule),
    /// That depends on the rooms of the socket.
    NeedsRooms,
    /// None.
    Nothing,
}

/// The first rule that matches the event.
pub(super) fn find<'r>(rules: &'r [Rule], asked: &Candidate<'_>) -> Found<'r> {
    for (number, rule) in rules.iter().enumerate() {
        if !rule.matches(asked) {
            continue;
        }
        let is_in = match (&rule.require.room, asked.rooms) {
            (None, _) => true,
            (Some(room), Some(rooms)) => {
                room.fill(asked.args).is_ok_and(|room| rooms.iter().any(|one| **one == *room))
            }
            (Some(_), None) => return Found::NeedsRooms,
        };
        if is_in {
            return Found::Rule(number, rule);
        }
    }
    Found::Nothing
}

impl Rule {
    /// A rule that does this with events of a name, or of names that match it as a pattern.
    pub fn new(event: impl Into<String>, action: RuleAction) -> Self {
        Self {
            event: event.into(),
            namespace: None,
            require: Require::default(),
            actions: vec![action],
            room: None,
            to: Vec::new(),
            except_sender: false,
            is_volatile: false,
            rename: None,
            ack: (action == RuleAction::Ack).then_some(AckForm::Empty),
            rate_per_s: 0,
            closes: false,
        }
    }

    /// Whether all conditions but that of the room are met.
    fn matches(&self, asked: &Candidate<'_>) -> bool {
        let Require { user, args, room: _ } = &self.require;
        let holds = |(path, regex): &(Path, NamePattern)| {
            path.text(asked.args).is_some_and(|text| regex.matches(&text))
        };
        pattern::matches(&self.event, asked.event)
            && self.namespace.as_ref().is_none_or(|pattern| pattern::matches(pattern, asked.namespace))
            && user.allows(asked.user)
            && args.iter().all(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(event: &str) -> Rule {
        Rule::new(event, RuleAction::Drop)
    }

    #[test]
    fn the_first_rule_that_matches_applies() {
        let require = |change: fn(&mut Require)| {
            let mut require = Require::default();
            change(&mut require);
            require
        };
        let arg = |path, regex| {
            let args = vec![(Path::new(path).unwrap(), NamePattern::new(regex).unwrap())];
            Require { args, ..Require::default() }
        };
        let rules = [
            Rule { namespace: Some("/admin*".to_owned()), ..rule("*") },
            Rule { require: arg("$0", "^[a-z]{1,3}$"), ..rule("say") },
            Rule {
                require: require(|r| r.user = UserRule::Named(vec!["ann".to_owned(), "b*".to_owned()])),
                ..rule("say")
            },
            Rule { require: require(|r| r.user = UserRule::Known), ..rule("say") },
            Rule { require: require(|r| r.room = Template::new("$0").ok()), ..rule("sa*") },
            rule("say"),
        ];
        let found = |namespace, event, list: &str, user, rooms: Option<&[&str]>| {
            let rooms: Option<Vec<Box<str>>> =
                rooms.map(|rooms| rooms.iter().map(|&room| room.into()).collect());
            let args = JsonArgs::of_list(list).unwrap();
            match find(&rules, &Candidate { namespace, event, args, user, rooms: rooms.as_deref() }) {
                Found::Rule(number, found) => {
                    assert!(std::ptr::eq(found, &raw const rules[number]));
                    Some(number)
                }
                Found::NeedsRooms => Some(99),
                Found::Nothing => None,
            }
        };
        for (namespace, event, list, user, rooms, number) in [
            ("/admin", "x", "[]", "", None, Some(0)),
            ("/", "x", "[]", "", None, None),
            ("/", "say", r#"["abc"]"#, "", None, Some(1)),
            ("/", "say", r#"["abcd"]"#, "bob", None, Some(2)),
            ("/", "say", r#"["abcd"]"#, "ann", None, Some(2)),
            ("/", "say", r#"["abcd"]"#, "cid", None, Some(3)),
            ("/", "say", r#"["abcd"]"#, "", None, Some(99)),
            ("/", "say", r#"["abcd"]"#, "", Some(&["x", "abcd"][..]), Some(4)),
            ("/", "say", r#"["abcd"]"#, "", Some(&["x"]), Some(5)),
            ("/", "say", "[{}]", "", Some(&["x"]), Some(5)),
            ("/", "saw", r#"["abcd"]"#, "", Some(&[]), None),
        ] {
            assert_eq!(found(namespace, event, list, user, rooms), number, "{event} {list} {user} {rooms:?}");
        }
    }

    #[test]
    fn every_action_has_its_name() {
        for (name, action) in RuleAction::NAMES {
            assert_eq!(action.name(), name);
        }
    }
}
