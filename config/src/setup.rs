//! The SQL that prepares a cluster for this configuration.

use std::fmt::Write;

use secrecy::{ExposeSecret, SecretString};
use sha1::{Digest, Sha1};

use crate::config::Config;

/// SQL that creates what the proxy needs and the cluster lacks: the accounts, the control tables, and
/// the least grants on them. `host_pattern` is the accounts' host part, such as `%` or `10.0.0.%`.
///
/// For MariaDB 10.4 and later, run as an account that may do all this. It may be run again: what
/// exists stays as it is. It has hashes of passwords in it, not the passwords.
pub fn setup_sql(config: &Config, host_pattern: &str) -> String {
    let schema = identifier(config.control.schema.as_str());
    let monitor = account(&config.monitor.user, host_pattern);
    let mut sql = HEADER.to_owned();

    section(&mut sql, MONITOR);
    create_user(&mut sql, &monitor, &config.monitor.password);

    section(&mut sql, USERS);
    for user in &config.users {
        let account = account(&user.name, host_pattern);
        line(
            &mut sql,
            &format!("-- GRANT {IDO_PRIVILEGES} ON `icinga`.* TO {};", in_comment(&account)),
        );
        create_user(&mut sql, &account, &user.password);
    }

    section(&mut sql, TABLES);
    line(&mut sql, &format!("CREATE DATABASE IF NOT EXISTS {schema};"));
    for (table, columns) in [("pin", PIN), ("proxy", PROXY), ("fence", FENCE)] {
        line(&mut sql, &format!("CREATE TABLE IF NOT EXISTS {schema}.`{table}` {columns};"));
    }
    // The tables may be there already, without these columns.
    for (table, column) in [("pin", DRAINED), ("fence", REPLY)] {
        let add = format!("ALTER TABLE {schema}.`{table}` ADD COLUMN IF NOT EXISTS {column};");
        line(&mut sql, &add);
    }

    section(&mut sql, EVICTION);
    line(&mut sql, &format!("CREATE OR REPLACE PROCEDURE {schema}.`evict`{EVICT};"));

    section(&mut sql, GRANTS);
    for table in ["pin", "proxy", "fence"] {
        line(
            &mut sql,
            &format!("GRANT SELECT, INSERT, UPDATE ON {schema}.`{table}` TO {monitor};"),
        );
    }
    line(&mut sql, &format!("GRANT EXECUTE ON PROCEDURE {schema}.`evict` TO {monitor};"));
    for user in &config.users {
        line(
            &mut sql,
            &format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.`fence` TO {};",
                account(&user.name, host_pattern)
            ),
        );
    }
    sql
}

fn section(sql: &mut String, comment: &str) {
    sql.push('\n');
    sql.push_str(comment);
}

fn line(sql: &mut String, line: &str) {
    sql.push_str(line);
    sql.push('\n');
}

fn create_user(sql: &mut String, account: &str, password: &SecretString) {
    line(
        sql,
        &format!(
            "CREATE USER IF NOT EXISTS {account} IDENTIFIED VIA mysql_native_password USING '{}';",
            native_password_hash(password)
        ),
    );
}

/// `user`@`host`, in identifier quotes: there a backslash is a plain character in every `sql_mode`.
fn account(user: &str, host: &str) -> String {
    format!("{}@{}", identifier(user), identifier(host))
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A comment ends with its line.
fn in_comment(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The hash that `mysql_native_password` stores: `*` and the SHA-1 of the SHA-1 of the password, in upper-case
/// hex. Source: MariaDB's documentation, page Authentication Plugin - mysql_native_password.
fn native_password_hash(password: &SecretString) -> String {
    let once = Sha1::digest(password.expose_secret());
    let mut hash = String::from("*");
    for byte in Sha1::digest(once) {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02X}");
    }
    hash
}

/// Privileges that Icinga 2 asks for (its documentation, page IDO MySQL: Setting up the MySQL database).
const IDO_PRIVILEGES: &str = "SELECT, INSERT, UPDATE, DELETE, DROP, CREATE VIEW, INDEX, EXECUTE";

/// Sets a mode in which the server and its command-line client read backslashes alike.
const HEADER: &str = "\
-- Prepares a MariaDB Galera cluster for ido-proxy: accounts, control tables, grants.
-- Run it on one node, as an administrator; Galera brings it to the others:
--     ido-proxy setup | mariadb
-- It may be run again. What exists stays as it is, passwords of existing accounts too.
-- It holds hashes of passwords: keep it where the passwords are kept.

SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION';
";

const MONITOR: &str = "\
-- The account that asks the nodes how they are. Every account may do that:
-- SHOW GLOBAL STATUS and SHOW GLOBAL VARIABLES need no privilege.
";

const USERS: &str = "\
-- The accounts of the clients. They are granted nothing on their own databases here.
-- If that is not done yet, run the line above each account, with its database in place of icinga:
";

const TABLES: &str = "\
-- What all proxies of the cluster agree on, and the proof that a transaction was committed.
";

const EVICTION: &str = "\
-- Cuts a dead node off from its cluster, which would block every write for 6 s until it suspects it. That takes
-- a privilege which the monitor has not: the procedure has it from who runs this, and takes nothing but a node's UUID.
-- Without this procedure all else works (failover.evict).
";

/// The first argument is the UUID of a node in its group (`wsrep_gcomm_uuid`), or nothing to clear the list. The second one
/// is the period in seconds after which members that form a new view say again what they see: two that are told of an
/// eviction at different times wait for that.
///
/// MariaDB 10.11 has one variable for all options of Galera, MariaDB 11.8 one for each. The one that the server does not
/// have is an error even where it is not reached, so each is a text of its own.
///
/// Source: Galera Cluster documentation, "Galera Parameters" (`evs.evict`, `evs.join_retrans_period`).
const EVICT: &str = r#"(IN `member` VARCHAR(36), IN `period` DECIMAL(6,3))
  SQL SECURITY DEFINER
  COMMENT 'ido-proxy: cuts a dead node off, or clears the list of those'
  EXECUTE IMMEDIATE IF(`period` > 0 AND `member` RLIKE '^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$',
    CONCAT('BEGIN NOT ATOMIC
      DECLARE EXIT HANDLER FOR 1193 BEGIN
        EXECUTE IMMEDIATE "SET GLOBAL wsrep_provider_options=''evs.evict=', `member`, '''";
        EXECUTE IMMEDIATE "SET GLOBAL wsrep_provider_options=''evs.join_retrans_period=PT', `period`, 'S''";
      END;
      EXECUTE IMMEDIATE "SET GLOBAL wsrep_provider_evs_evict=''', `member`, '''";
      EXECUTE IMMEDIATE "SET GLOBAL wsrep_provider_evs_join_retrans_period=', `period`, '";
    END'),
    'SIGNAL SQLSTATE ''45000'' SET MESSAGE_TEXT=''evict: no UUID of a node, or no period''')"#;

const GRANTS: &str = "\
-- Only the monitor moves the pin and tells what a proxy reaches. A client fences its own transactions, in its own name.
";

const PIN: &str = "(
  `cluster` VARCHAR(64) NOT NULL COMMENT 'which cluster, should several share these tables',
  `node` VARCHAR(255) NOT NULL COMMENT 'address of the primary, to which all writes go',
  `epoch` BIGINT UNSIGNED NOT NULL COMMENT 'grows by one with every change of the primary',
  `reason` VARCHAR(255) NOT NULL COMMENT 'why it was changed',
  `by` VARCHAR(255) NOT NULL COMMENT 'the proxy that changed it',
  `at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'when it was changed',
  PRIMARY KEY (`cluster`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  COMMENT='ido-proxy: the node that every proxy writes to'";

const DRAINED: &str =
    "`drained` VARCHAR(2000) NOT NULL DEFAULT '' COMMENT 'addresses of nodes that are drained'";

const PROXY: &str = "(
  `cluster` VARCHAR(64) NOT NULL COMMENT 'which cluster, should several share these tables',
  `name` VARCHAR(255) NOT NULL COMMENT 'the host of the proxy, and where it listens',
  `reaches` VARCHAR(2000) NOT NULL COMMENT 'addresses of the nodes that answer it',
  `beat` BIGINT UNSIGNED NOT NULL COMMENT 'grows every few seconds while it runs',
  PRIMARY KEY (`cluster`, `name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  COMMENT='ido-proxy: what each proxy reaches'";

const FENCE: &str = "(
  `session` VARCHAR(64) NOT NULL COMMENT 'a session of a proxy',
  `seq` BIGINT UNSIGNED NOT NULL COMMENT 'its last committed transaction',
  PRIMARY KEY (`session`)
) ENGINE=InnoDB DEFAULT CHARSET=ascii COLLATE=ascii_bin
  COMMENT='ido-proxy: which transaction of each session was committed last'";

const REPLY: &str = "`reply` VARCHAR(64) NULL INVISIBLE COMMENT 'counts of the reply to it, where that may be lost'";

#[cfg(test)]
mod tests;
