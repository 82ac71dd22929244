//! A session from the accepted socket to its last log line.

use std::sync::Arc;

use ido_proxy_protocol::capabilities::Capabilities;
use ido_proxy_protocol::greeting::Greeting;
use tokio::time::{Instant, timeout};

use crate::session::driver::context::SessionContext;
use crate::session::driver::end::{End, Side};
use crate::session::driver::{Asked, Session};
use crate::session::engine::Machine;
use crate::session::front::login::{self, LoggedIn, LoginError};
use crate::session::link::dial::Profile;
use crate::session::link::early;
use crate::session::link::replica::Reader;
use crate::session::shared::directives::{DirectiveWatch, Phase};
use crate::session::shared::registry::{SessionGuard, SessionId};
use crate::session::shared::role::{Role, RoleName};
use crate::session::state::fence::Fence;
use crate::session::state::journal::store::Store;
use crate::session::state::session_state::SessionState;
use crate::session::state::settings::SessionSettings;
use crate::session::transport::busy_poll::Polling;
use crate::session::transport::read_low_water::LowWater;
use crate::session::transport::stream::Stream;
use crate::session::transport::wire::Wire;
use crate::session::transport::write_coalescing::Withhold;
use crate::telemetry::metrics::{LoginResult, Present, SessionMetrics};

/// Serves one client. `client` is how it is shown, `host` its host as error messages name it.
pub(crate) async fn serve(
    stream: Stream,
    client: String,
    host: String,
    role: Role,
    context: SessionContext,
) {
    let metrics = Arc::clone(&context.metrics);
    let _present = Present::enter(&metrics.sessions);
    let reads = role.name() == RoleName::Reader;
    let _reader = reads.then(|| Present::enter(&metrics.readers));
    let entry = context.registry.register(client, role.name());
    let wire = Wire::new(stream, Arc::clone(&context.buffers));
    // Memory for the login is not kept for as long as the session lasts: most are idle most of the time.
    let logged_in = Box::pin(log_in(wire, host, role, context, entry)).await;
    if let Some(session) = logged_in {
        let (id, user) = (session.entry.id(), session.profile.user.clone());
        let end = converse(session).await;
        report(&end, id, &user, &metrics);
    }
}

/// Serves the client until one side ends it. What is seldom done lies in a box of its own while it is done: a future
/// is as large as the largest it waits for, and a thousand idle sessions have one each.
async fn converse(mut session: Box<Session>) -> End {
    let mut served = Box::pin(session.welcome()).await;
    let end = loop {
        if let Err(end) = served {
            break end;
        }
        served = match session.run().await {
            Ok(Asked::ChangeUser) => Box::pin(session.change_user()).await,
            Err(end) => Err(end),
        };
    };
    Box::pin(session.say_goodbye(&end)).await;
    end
}

/// Greets the client and checks it.
async fn log_in(
    mut client: Wire,
    host: String,
    role: Role,
    context: SessionContext,
    entry: SessionGuard,
) -> Option<Box<Session>> {
    let started = Instant::now();
    let scramble = Greeting::scramble_from(rand::random());
    let topology = Arc::clone(&context.directives.borrow().topology);
    let greeted = early::connect(role, &topology, &context.greeted, &context.dial()).await;
    if let Some(greeted) = &greeted {
        entry.greet(greeted.thread);
    }
    let greeting = context.client_greeting.borrow().greeting(entry.greeted(), scramble);
    let attempt = login::accept(&mut client, greeting, &host, &context.accounts);
    let limit = context.limits.login;
    let mut directives = context.directives.clone();
    let (result, logged_in) = tokio::select! {
        attempted = timeout(limit, attempt) => match attempted {
            Ok(Ok(logged_in)) => (LoginResult::Accepted, Some(logged_in)),
            Ok(Err(error)) => {
                report_login(&error, &entry);
                (error.result(), None)
            }
            Err(_elapsed) => {
                tracing::warn!(client = entry.client(), ?limit, "no complete login in time");
                (LoginResult::TimedOut, None)
            }
        },
        // The client has nothing to lose yet, and must not delay the end of the daemon.
        Ok(_) = directives.wait_for(|directives| directives.phase != Phase::Serving) => {
            tracing::debug!(client = entry.client(), "closed before its login: the daemon ends");
            (LoginResult::Aborted, None)
        }
    };
    context.metrics.logins.of(result).increment(1);
    let Some(LoggedIn { profile, sequence }) = logged_in else {
        if let Some(unused) = greeted {
            context.leave(unused);
        }
        return None;
    };
    entry.set_user(&profile.user);
    entry.set_database(profile.database.as_deref());
    context.metrics.login_seconds.record(started.elapsed().as_secs_f64());
    Some(Box::new(Session {
        machine: new_machine(&context, &profile, role.name() == RoleName::Reader),
        catches_up: None,
        reservation: None,
        pending_end: None,
        loss: None,
        directives: DirectiveWatch::new(context.directives.clone()),
        polling: Polling::new(Arc::clone(&context.poll_slot)),
        reader: Reader::of(role),
        withhold: Withhold::new(context.clock.clone()),
        low_water: LowWater::new(context.clock.clone()),
        context: Arc::new(context),
        entry,
        client,
        host,
        profile,
        scramble,
        link: None,
        greeted,
        standby_slot: None,
        waiting: Some(sequence.wrapping_sub(1)),
        leaving: false,
        half_closed: false,
    }))
}

/// The machine of a client that has logged in like this, and maybe only `reads`.
pub(in crate::session) fn new_machine(
    context: &SessionContext,
    profile: &Profile,
    reads: bool,
) -> Machine {
    let Profile { user, capabilities, collation, database, .. } = profile;
    let settings = SessionSettings::new(*capabilities, *collation, database.clone());
    let settings = settings.knowing(Arc::clone(&context.readings));
    let journal = Store::new(Arc::clone(&context.journals));
    let fence = match capabilities.contains(Capabilities::NO_SCHEMA) {
        // For such a client, the fence's table has no name.
        true => Fence::none(),
        false => Fence::new(Arc::clone(&context.fences), user),
    };
    let session = SessionState::new(settings, journal, fence).beside(Arc::clone(&context.reserved));
    Machine::new(*capabilities, if reads { session.reading() } else { session })
}

fn report_login(error: &LoginError, entry: &SessionGuard) {
    let client = entry.client();
    match error {
        LoginError::Silent => tracing::debug!(client, "{error}"),
        _ => tracing::warn!(client, "login {error}"),
    }
}

fn report(end: &End, id: SessionId, user: &[u8], metrics: &SessionMetrics) {
    if let Some(loss) = end.link_loss() {
        metrics.links_lost.of(loss).increment(1);
    }
    if let Some(refusal) = end.refusal() {
        metrics.refused.of(refusal).increment(1);
    }
    let user = String::from_utf8_lossy(user);
    let side = end.side();
    if end.is_trouble() && side != Side::Client {
        tracing::warn!(session = %id, %user, ?side, may_retry = end.may_retry(), "session ended: {end}");
    } else {
        tracing::info!(session = %id, %user, ?side, "session ended: {end}");
    }
}
