//! Admission before work: how many requests, and how many bytes of them, the host holds at once.
//!
//! A request on its own (HTTP, unary gRPC) is refused at once when the house is full, because its caller can go
//! elsewhere. A stream waits instead: not reading on is the refusal that a stream understands.
//!
//! A slot covers the work and is free when the work is done; the bytes stay counted until the reply has left, so that
//! a peer that never reads holds memory that is accounted for, but no slot.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lockgate_domain::{ErrorCode, LimitKind, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Milliseconds after which a refused caller may come back.
const RETRY_AFTER_MS: u64 = 1000;
/// Bytes are counted in units of this size: a semaphore counts to a 32-bit number at a time.
const UNIT: u64 = 1024;

/// The two counts at the door.
#[derive(Debug)]
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    slot_limit: u64,
    units: Arc<Semaphore>,
    byte_limit: u64,
    refused: AtomicU64,
}

/// A look at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdmissionStats {
    /// requests that are worked on
    pub(crate) in_flight: u64,
    /// bytes of requests and replies that are held, in whole units
    pub(crate) bytes: u64,
    /// requests refused so far; those of streams wait and are never refused
    pub(crate) refused: u64,
}

/// One admitted request. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Permit {
    _slot: OwnedSemaphorePermit,
    bytes: BytesPermit,
}

/// What is held of one request until its reply has left: its bytes, and whatever the door wants held.
pub(crate) struct BytesPermit {
    _units: OwnedSemaphorePermit,
    _guard: Option<Guard>,
}

/// What a [`Visit`](crate::Visit) holds.
pub(crate) type Guard = Box<dyn Send>;

/// An encoded reply that stays accounted for until its last byte was handed to the socket.
#[derive(Debug)]
struct Accounted {
    reply: Vec<u8>,
    _permit: BytesPermit,
}

impl Admission {
    pub(crate) fn new(requests: usize, bytes: u64) -> Self {
        let most = u64::try_from(Semaphore::MAX_PERMITS).unwrap_or(u64::MAX);
        let units = (bytes / UNIT).clamp(1, most.min(u64::from(u32::MAX)));
        let requests = requests.min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(requests)),
            slot_limit: u64::try_from(requests).unwrap_or(u64::MAX),
            units: Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX))),
            byte_limit: units.saturating_mul(UNIT),
            refused: AtomicU64::new(0),
        }
    }

    /// Refuses early, before a body is read, when there is no chance.
    pub(crate) fn precheck(&self) -> Result<(), Problem> {
        if self.slots.available_permits() > 0 {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(self.no_slot())
    }

    /// Admits a request of `bytes` bytes or refuses it.
    pub(crate) fn admit(&self, bytes: usize) -> Result<Permit, Problem> {
        self.try_admit(bytes).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// What is at the door now.
    pub(crate) fn stats(&self) -> AdmissionStats {
        let taken = |limit: u64, semaphore: &Semaphore| {
            limit.saturating_sub(u64::try_from(semaphore.available_permits()).unwrap_or(u64::MAX))
        };
        AdmissionStats {
            in_flight: taken(self.slot_limit, &self.slots),
            bytes: taken(self.byte_limit / UNIT, &self.units).saturating_mul(UNIT),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Admits a request if there is room now; not yet a refusal.
    fn try_admit(&self, bytes: usize) -> Result<Permit, Problem> {
        let slot = self.slots.clone().try_acquire_owned().map_err(|_: TryAcquireError| self.no_slot())?;
        let bytes = self
            .units
            .clone()
            .try_acquire_many_owned(self.units_of(bytes))
            .map_err(|_: TryAcquireError| self.no_bytes())?;
        Ok(Permit::new(slot, bytes))
    }

    /// Admits a request of a stream as soon as there is room. Pending for ever once the semaphores are closed, which
    /// nobody does.
    fn wait(&self, bytes: usize) -> impl Future<Output = Permit> + Send + use<> {
        let (slots, units, count) = (self.slots.clone(), self.units.clone(), self.units_of(bytes));
        async move {
            match (slots.acquire_owned().await, units.acquire_many_owned(count).await) {
                (Ok(slot), Ok(bytes)) => Permit::new(slot, bytes),
                _ => std::future::pending().await,
            }
        }
    }

    /// Never more than there are: a message as large as the whole allowance waits for all of it.
    fn units_of(&self, bytes: usize) -> u32 {
        let units = u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(UNIT).max(1);
        u32::try_from(units.min(self.byte_limit / UNIT)).unwrap_or(u32::MAX)
    }

    fn no_slot(&self) -> Problem {
        let limit = self.slot_limit;
        Problem::limit(
            LimitKind::Queue,
            limit,
            format!("the gateway works on {limit} requests already, as many as it may"),
        )
        .with_hint(
            "retry after the stated time; `max_concurrent_requests` of the flow's gateway sets the limit",
        )
        .with_retry_after_ms(RETRY_AFTER_MS)
    }

    fn no_bytes(&self) -> Problem {
        let limit = self.byte_limit;
        Problem::new(
            ErrorCode::Overloaded,
            format!("the gateway holds {limit} bytes of requests already, as many as it may"),
        )
        .with_hint("retry after the stated time, or send smaller requests")
        .with_retry_after_ms(RETRY_AFTER_MS)
    }
}

impl Permit {
    fn new(slot: OwnedSemaphorePermit, units: OwnedSemaphorePermit) -> Self {
        Self { _slot: slot, bytes: BytesPermit { _units: units, _guard: None } }
    }

    /// The work is done and another request may start. What is left are the bytes and the door's guard, until the
    /// reply has left.
    pub(crate) fn into_bytes(self, guard: Option<Guard>) -> BytesPermit {
        BytesPermit { _guard: guard, ..self.bytes }
    }
}

impl fmt::Debug for BytesPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BytesPermit")
    }
}

impl BytesPermit {
    /// Ties the permit to the reply.
    pub(crate) fn account_for(self, reply: Vec<u8>) -> Bytes {
        Bytes::from_owner(Accounted { reply, _permit: self })
    }
}

impl AsRef<[u8]> for Accounted {
    fn as_ref(&self) -> &[u8] {
        &self.reply
    }
}

/// Where the next message of a stream waits for admission; nothing more is read meanwhile.
pub(crate) struct Doorstep<M>(Option<BoxFuture<'static, (M, Permit)>>);

impl<M: Send + 'static> Doorstep<M> {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        Self(None)
    }

    /// Whether the next message may come.
    pub(crate) fn is_free(&self) -> bool {
        self.0.is_none()
    }

    /// Gives the message back with its permit if there is room now, else keeps it until there is.
    pub(crate) fn admit(&mut self, admission: &Admission, message: M, bytes: usize) -> Option<(M, Permit)> {
        if let Ok(permit) = admission.try_admit(bytes) {
            return Some((message, permit));
        }
        let wait = admission.wait(bytes);
        self.0 = Some(Box::pin(async move {
            let permit = wait.await;
            (message, permit)
        }));
        None
    }

    /// The message that waits, as soon as there is room; pending while none waits. Dropping the future loses neither
    /// the message nor its place.
    pub(crate) async fn admitted(&mut self) -> (M, Permit) {
        let Some(waiting) = &mut self.0 else { return std::future::pending().await };
        let admitted = waiting.as_mut().await;
        self.0 = None;
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_beyond_either_limit_and_recovers() {
        let admission = Admission::new(2, 4096);
        let first = admission.admit(1).unwrap();
        let second = admission.admit(1000).unwrap();
        assert_eq!(admission.precheck().unwrap_err().code(), ErrorCode::Overloaded);
        let refused = admission.admit(1).unwrap_err();
        assert_eq!(refused.limit_passed(), Some((LimitKind::Queue, 2)));
        assert_eq!((refused.http_status(), refused.retry_after_ms()), (503, Some(1000)));
        assert_eq!(admission.stats(), AdmissionStats { in_flight: 2, bytes: 2048, refused: 2 });
        drop((first, second));
        assert_eq!(admission.stats(), AdmissionStats { in_flight: 0, bytes: 0, refused: 2 });
        let large = admission.admit(1 << 30).unwrap();
        assert_eq!(admission.admit(1).unwrap_err().code(), ErrorCode::Overloaded);
        drop(large);
        assert!(admission.admit(4096).is_ok());
    }

    #[test]
    fn bytes_outlive_the_slot() {
        let admission = Admission::new(1, 1024);
        let reply = admission.admit(1024).unwrap().into_bytes(None).account_for(b"reply".to_vec());
        assert!(admission.precheck().is_ok());
        assert!(admission.admit(1).is_err());
        assert_eq!(reply, "reply");
        drop(reply);
        assert!(admission.admit(1).is_ok());
    }

    #[tokio::test]
    async fn a_stream_waits_its_turn() {
        let admission = Admission::new(1, 1 << 20);
        let mut doorstep = Doorstep::new();
        let (_, first) = doorstep.admit(&admission, "first", 10).unwrap();
        assert!(doorstep.admit(&admission, "second", 10).is_none());
        assert!(!doorstep.is_free());
        assert_eq!(admission.stats().refused, 0);
        assert!(futures_util::FutureExt::now_or_never(doorstep.admitted()).is_none());
        drop(first);
        assert_eq!(doorstep.admitted().await.0, "second");
        assert!(doorstep.is_free());
    }
}
