//! Descriptors: per table, per process, per box.
//!
//! A connection is a descriptor. With private tables the limit applies to each shard, so two changes help against
//! a low limit, and the report names both: more shards, or a higher limit.

use super::facts::{Facts, Probe};
use super::needs::{self, Plan};
use super::report::{Line, Status, Value, at_least, sysctl};
use super::text::{count_text, shards_text};

pub(super) fn lines(plan: &Plan, facts: &Facts) -> Vec<Line> {
    let private = plan.private_descriptors && facts.private_descriptors == Probe::Works;
    let need = if private {
        needs::descriptors_per_private_table(plan.connections, plan.shards)
    } else {
        needs::descriptors_of_process(plan.connections, plan.shards)
    };
    vec![
        private_tables(plan, facts),
        per_table(plan, facts, private, need),
        per_process(plan, facts, private),
        nr_open(plan, facts, need),
        file_max(plan, facts),
    ]
}

fn private_tables(plan: &Plan, facts: &Facts) -> Line {
    const NAME: &str = "private descriptor tables";
    const GAIN: &str = "With a table of its own a shard accepts and closes without contending with the others, and \
        the descriptor limit holds per shard instead of per process.";
    let line = |status, value: &str, why: String| {
        Line::new(NAME, status, Value::Text(value.to_owned()), Value::Unknown, why)
    };
    match &facts.private_descriptors {
        _ if !plan.private_descriptors => {
            line(Status::Advice, "off", GAIN.to_owned()).mended_by("throng serve --private-descriptors true")
        }
        Probe::Works => line(Status::Ok, "work here", GAIN.to_owned()),
        Probe::Refused(error) => {
            let why = format!(
                "{GAIN} The kernel or a sandbox refuses it ({error}); container runtimes filter unshare by default. \
                 throng then shares one table, and the limit must hold all connections."
            );
            let nofile = needs::nofile(plan.connections);
            line(Status::Advice, "refused", why)
                .mended_by(format!("docker run --ulimit nofile={nofile}:{nofile} ..."))
        }
        Probe::Untested => Line::new(NAME, Status::Unknown, Value::Unknown, Value::Unknown, GAIN),
    }
}

fn limit_value(limit: u64) -> Value {
    if limit == u64::MAX { Value::Text("unlimited".to_owned()) } else { Value::Count(limit) }
}

fn per_table(plan: &Plan, facts: &Facts, private: bool, need: u64) -> Line {
    let limit = facts.descriptor_limit;
    let hard = limit.map(|limit| limit.hard);
    let share = if private {
        format!(
            "RLIMIT_NOFILE holds for each of {}: its part of {} connections, what hashing may put on top, and throng's own.",
            shards_text(plan.shards),
            count_text(plan.connections)
        )
    } else {
        format!(
            "RLIMIT_NOFILE holds for the one table of all {} connections and throng's own descriptors.",
            count_text(plan.connections)
        )
    };
    let soft = match limit {
        Some(limit) if limit.soft < limit.hard => {
            format!(" This is the hard limit; throng raises the soft one ({}) to it.", count_text(limit.soft))
        }
        Some(_) | None => String::new(),
    };
    let nofile = needs::nofile(plan.connections);
    let value = hard.map_or(Value::Unknown, limit_value);
    Line::new(
        "descriptors per table",
        at_least(hard, need, Status::Short),
        value,
        Value::Count(need),
        share + &soft,
    )
    .mended_by(format!("ulimit -n {nofile}   # as root; for a service LimitNOFILE={nofile}"))
}

fn per_process(plan: &Plan, facts: &Facts, private: bool) -> Line {
    const NAME: &str = "descriptors per process";
    let need = needs::descriptors_of_process(plan.connections, plan.shards);
    let Some(hard) = facts.descriptor_limit.map(|limit| limit.hard) else {
        let why = "The tables of all shards together must hold every connection.";
        return Line::new(NAME, Status::Unknown, Value::Unknown, Value::Count(need), why);
    };
    let shared_mend = format!("ulimit -n {}", needs::nofile(plan.connections));
    if !private {
        let why = "All shards share one table, so the process holds no more than one table does.";
        let status = at_least(Some(hard), need, Status::Short);
        return Line::new(NAME, status, limit_value(hard), Value::Count(need), why).mended_by(shared_mend);
    }
    let held = needs::capacity(hard, plan.shards);
    let value = limit_value(hard.saturating_mul(plan.shards));
    let fewest = needs::shards_needed(plan.connections, hard);
    let sentence = fewest.map_or_else(
        || format!("not even {} shards hold {}", needs::SHARDS_MAX, count_text(plan.connections)),
        |count| format!("{} need at least {}", count_text(plan.connections), shards_text(count)),
    );
    let why = format!(
        "{} at this limit hold about {} connections; {sentence}. More shards than cores are allowed. Either \
         more shards or a higher limit mends this.",
        shards_text(plan.shards),
        count_text(held)
    );
    let status = if held >= plan.connections { Status::Ok } else { Status::Short };
    let mend = fewest.map_or(shared_mend, |count| format!("throng serve --shards {count}"));
    Line::new(NAME, status, value, Value::Count(need), why).mended_by(mend)
}

fn nr_open(plan: &Plan, facts: &Facts, need: u64) -> Line {
    let why = "No process may be given a descriptor limit above this, whatever limits.conf or a unit says.";
    Line::new(
        "fs.nr_open",
        at_least(facts.nr_open, need, Status::Short),
        facts.nr_open.into(),
        Value::Count(need),
        why,
    )
    .mended_by(sysctl("fs.nr_open", needs::nofile(plan.connections)))
}

fn file_max(plan: &Plan, facts: &Facts) -> Line {
    let open = facts.files_open_count.unwrap_or(0);
    let need = open + needs::descriptors_of_process(plan.connections, plan.shards);
    let why = format!(
        "Open files of the whole box, {} of them now. A load generator on this box needs as many again.",
        facts.files_open_count.map_or_else(|| "an unknown number".to_owned(), count_text)
    );
    Line::new(
        "fs.file-max",
        at_least(facts.file_max, need, Status::Short),
        facts.file_max.into(),
        Value::Count(need),
        why,
    )
    .mended_by(sysctl("fs.file-max", needs::file_max(plan.connections).max(need)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::DescriptorLimit;
    use crate::doctor::fake::plan;

    fn at(limit: u64, shards: u64, probe: Probe) -> Vec<Line> {
        let facts = Facts {
            descriptor_limit: Some(DescriptorLimit { soft: limit, hard: limit }),
            private_descriptors: probe,
            ..Facts::default()
        };
        lines(&Plan { shards, ..plan(50_000) }, &facts)
    }

    #[test]
    fn a_low_limit_is_mended_by_shards_where_tables_are_private() {
        let lines = at(20_000, 2, Probe::Works);
        assert_eq!((lines[1].status, lines[2].status), (Status::Short, Status::Short));
        assert_eq!(lines[2].mend.as_deref(), Some("throng serve --shards 3"));
        assert_eq!(lines[2].value, Value::Count(40_000));
        let lines = at(20_000, 3, Probe::Works);
        assert_eq!((lines[1].status, lines[2].status), (Status::Ok, Status::Ok));
        assert_eq!(lines[2].mend, None);
    }

    #[test]
    fn shards_do_not_help_where_the_table_is_shared() {
        let lines = at(20_000, 64, Probe::Refused("not permitted".to_owned()));
        assert_eq!(lines[0].status, Status::Advice);
        assert_eq!(lines[1].status, Status::Short);
        assert_eq!(lines[2].mend.as_deref(), Some("ulimit -n 1048576"));
        let lines = at(60_000, 2, Probe::Refused("not permitted".to_owned()));
        assert_eq!((lines[1].status, lines[2].status), (Status::Ok, Status::Ok));
    }

    #[test]
    fn a_limit_that_no_number_of_shards_meets_is_raised() {
        let lines = at(100, 2, Probe::Works);
        assert_eq!(lines[2].status, Status::Short);
        assert_eq!(lines[2].mend.as_deref(), Some("ulimit -n 1048576"));
    }

    #[test]
    fn unlimited_is_enough() {
        let lines = at(u64::MAX, 2, Probe::Works);
        assert_eq!(lines[1].value, Value::Text("unlimited".to_owned()));
        assert_eq!(lines[2].value, lines[1].value);
        assert_eq!((lines[1].status, lines[2].status), (Status::Ok, Status::Ok));
    }
}
