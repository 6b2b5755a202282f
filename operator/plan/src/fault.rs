//! Guards that a test may take away, to see that a property notices. In any other build none is ever
//! away.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Fault {
    /// Voters are removed without asking whether the others are a quorum.
    RemoveUnguarded,
    /// A change of membership does not wait for the one that is under way.
    ChangeTwice,
    /// Pods are renewed without asking whether the others are well.
    StopUnguarded,
    /// Members may form a cluster for ever, not only until they have been seen in one.
    FormAgain,
    /// A lost member's volume goes before the member is off the list.
    DeleteEarly,
    /// A learner is never made a voter.
    NeverPromote,
    /// A pass goes on though the members cannot be asked.
    ActBlindly,
    /// A running member is told its cluster, and begins anew for that.
    NameCluster,
}

#[cfg(not(test))]
pub(crate) const fn planted(_: Fault) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    pub(crate) static PLANTED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}
