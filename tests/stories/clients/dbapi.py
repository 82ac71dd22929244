"""What Python programs do with a database, through PyMySQL or mysqlclient (MySQLdb).

    dbapi.py pymysql|MySQLdb tcp|socket ADDRESS DATABASE INFILE

Prints a transcript that is the same whenever the server's answers are. ADDRESS is HOST:PORT or a path;
INFILE a file with three tab-separated rows.
"""

import hashlib
import importlib
import sys

name, way, address, database, infile = sys.argv[1:]
module = importlib.import_module(name)
PACKET = 64 << 20
MULTI_STATEMENTS = 1 << 16


def connect(user="icinga", password="icinga", **more):
    if way == "tcp":
        host, port = address.rsplit(":", 1)
        more.update(host=host, port=int(port))
    else:
        more.update(unix_socket=address)
    more.setdefault("charset", "utf8mb4")
    more.setdefault("database", database)
    if name == "pymysql":
        return module.connect(
            user=user, password=password, local_infile=True, max_allowed_packet=PACKET,
            client_flag=MULTI_STATEMENTS, **more)
    more["db"] = more.pop("database")
    return module.connect(
        user=user, passwd=password, local_infile=1, client_flag=MULTI_STATEMENTS, **more)


def say(*words):
    print(*words, flush=True)


def chapter(title):
    say("#", title)


def show(cursor):
    """One result: its columns as the server describes them, its rows, or what it did."""
    if cursor.description is None:
        say("  ok: rows", cursor.rowcount, "id", cursor.lastrowid)
        return
    for column in cursor.description:
        say("  column:", column)
    for row in cursor.fetchall():
        say("  row:", row)
    say("  rows:", cursor.rowcount)


def show_all(cursor):
    show(cursor)
    while cursor.nextset():
        show(cursor)


def run(conn, sql, *values):
    say(">", sql if len(sql) < 200 else "%s... (%d)" % (sql[:40], len(sql)))
    with conn.cursor() as cursor:
        cursor.execute(sql, *values)
        show_all(cursor)


def fails(action):
    """Something the server refuses: with its number and its words."""
    try:
        action()
    except module.Error as error:
        say("  error:", type(error).__name__, error.args)
    else:
        sys.exit("this should have failed")


def is_closed():
    """How a client hears of it depends on what arrives first: the end of stream, or a reset."""
    try:
        run(conn, "SELECT 'nobody hears it'")
    except module.Error:
        say("  closed")
    else:
        sys.exit("this should have been closed")


conn = connect()

chapter("text")
run(conn, "DROP TABLE IF EXISTS t")
run(conn, """CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(60), amount DECIMAL(12,4),
    at DATETIME(6), data BLOB) CHARACTER SET utf8mb4""")
every_byte = bytes(range(256))
run(conn, "INSERT INTO t (name, amount, at, data) VALUES (%s, %s, %s, %s)",
    ("ünïcödé 🐘 \\ ' \" \0 ;", "12345678.9012", "2026-02-28 23:59:59.123456", every_byte))
run(conn, "INSERT INTO t (name) VALUES (NULL), (''), ('x')")
run(conn, "SELECT * FROM t ORDER BY id")
run(conn, "SELECT id FROM t WHERE 1 = 0")
run(conn, "UPDATE t SET name = 'x'")
run(conn, "SELECT 1/0, CAST('12x' AS INT)")
run(conn, "SHOW WARNINGS")
run(conn, "SELECT NAME, COUNT(*) FROM t GROUP BY name ORDER BY name")
run(conn, "SET @a = 5; SELECT @a; /* nothing */ SELECT 'one; two', \"three; four\"")
conn.commit()

chapter("errors")
fails(lambda: run(conn, "SELECT * FROM absent"))
fails(lambda: run(conn, "SELEKT 1"))
fails(lambda: run(conn, "INSERT INTO t (id) VALUES (1)"))
fails(lambda: run(conn, "SELECT nothing FROM t"))
fails(lambda: run(conn, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ünser Fehler', MYSQL_ERRNO = 1644"))
fails(lambda: run(conn, "CALL absent()"))
fails(lambda: connect(database="absent"))
fails(lambda: connect(password="wrong"))
fails(lambda: connect(password=""))

chapter("an error in the middle")
fails(lambda: run(conn, "SELECT 1; INSERT INTO t (name) VALUES ('first'); SELECT * FROM absent; "
                        "INSERT INTO t (name) VALUES ('never')"))
run(conn, "SELECT COUNT(*) FROM t WHERE name IN ('first', 'never')")

chapter("many results")
run(conn, "; ".join("SELECT %d" % n if n % 3 else "SET @n = %d" % n for n in range(300)))
run(conn, "DROP PROCEDURE IF EXISTS p")
run(conn, """CREATE PROCEDURE p(IN n INT, OUT o INT) BEGIN
    SELECT id FROM t WHERE id <= n ORDER BY id; UPDATE t SET amount = n; SET o = n * 2; SELECT 'last' AS name; END""")
with conn.cursor() as cursor:
    cursor.callproc("p", (3, 0))
    show_all(cursor)
    cursor.execute("SELECT @_p_1")
    show(cursor)

chapter("a result read row by row, and left before its end")
cursors = importlib.import_module(name + ".cursors")
with conn.cursor(cursors.SSCursor) as cursor:
    cursor.execute("SELECT seq, REPEAT('x', 2000) FROM seq_1_to_5000")
    for _ in range(3):
        say("  row:", cursor.fetchone()[0])
run(conn, "SELECT 'after it'")

chapter("LOAD DATA LOCAL")
run(conn, "DROP TABLE IF EXISTS loaded")
run(conn, "CREATE TABLE loaded (id INT PRIMARY KEY, name VARCHAR(60), size INT)")
run(conn, "LOAD DATA LOCAL INFILE '%s' INTO TABLE loaded" % infile)
run(conn, "SELECT * FROM loaded ORDER BY id")
run(conn, "LOAD DATA LOCAL INFILE '%s' INTO TABLE loaded; SELECT 'then'" % infile)
fails(lambda: run(conn, "LOAD DATA LOCAL INFILE '%s' INTO TABLE absent" % infile))
fails(lambda: run(conn, "LOAD DATA LOCAL INFILE '/nowhere/absent' INTO TABLE loaded"))
run(conn, "SELECT 'the connection lives'")

chapter("transactions")
conn.begin() if name == "pymysql" else run(conn, "BEGIN")
run(conn, "INSERT INTO t (name) VALUES ('rolled back')")
conn.rollback()
run(conn, "SELECT COUNT(*) FROM t WHERE name = 'rolled back'")
conn.autocommit(True)
run(conn, "SELECT @@autocommit, @@in_transaction")

chapter("session state")
run(conn, "SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+03:00', @user = 'mine'")
run(conn, "SELECT @@sql_mode, @@time_zone, @user")
run(conn, "CREATE TEMPORARY TABLE scratch SELECT 1 AS one")
run(conn, "SELECT GET_LOCK('story', 0), one FROM scratch")
conn.select_db("information_schema")
run(conn, "SELECT DATABASE()")
fails(lambda: conn.select_db("absent"))
conn.ping()

chapter("character sets")
for charset in "latin1", "gbk", "utf8":
    other = connect(charset=charset)
    say(charset, other.character_set_name())
    run(other, "SELECT @@character_set_client, @@character_set_results, @@collation_connection")
    # The second byte of this one in GBK is a backslash.
    text = "誠" if charset == "gbk" else "é"
    run(other, "SELECT %s, HEX(%s)", (text, text))
    other.close()

chapter("large packets")
# Lengths that fill a packet of 2^24 - 1 bytes, miss it by one, and go over it; the command is 1 + 15 + 2.
for length in (1 << 24) - 1, 1 << 24, (1 << 24) + 1, 2 * ((1 << 24) - 1), 40 << 20:
    sql = "SELECT LENGTH('" + "a" * (length - 1 - 17) + "')"
    assert len(sql) + 1 == length
    run(conn, sql)
for length in (1 << 24) - 6, (1 << 24) - 5, (1 << 24) - 4, (1 << 24) + 3, 40 << 20:
    with conn.cursor() as cursor:
        cursor.execute("SELECT REPEAT('0123456789abcdef', %d DIV 16 + 1), 'behind'" % length)
        text, behind = cursor.fetchone()
        say("  got", len(text), hashlib.md5(text.encode()).hexdigest(), behind)
    with conn.cursor() as cursor:
        cursor.execute("SELECT LEFT(REPEAT('b', %d), %d), 'behind'" % (length, length))
        text, behind = cursor.fetchone()
        say("  got", len(text), behind)
with conn.cursor() as cursor:
    run(conn, "DROP TABLE IF EXISTS %s.blobs" % database)
    run(conn, "CREATE TABLE %s.blobs (data LONGBLOB)" % database)
    data = b"\x00\x01\xfe\xffend" * ((20 << 20) // 7)
    cursor.execute("INSERT INTO " + database + ".blobs VALUES (%s)", (data,))
    cursor.execute("SELECT data FROM %s.blobs" % database)
    assert cursor.fetchone()[0] == data
    say("  20 MB of bytes came back as they were")

chapter("other commands")
if name == "MySQLdb":
    say(conn.stat().split(":")[0])
    conn.change_user("reader", "reader-password", database)
    run(conn, "SELECT CURRENT_USER(), DATABASE(), @user, @@sql_mode = @@global.sql_mode")
    fails(lambda: conn.change_user("reader", "wrong", database))
    # The server clears the session and keeps it as the user it was.
    run(conn, "SELECT CURRENT_USER(), DATABASE(), @user")
    fails(lambda: conn.change_user("icinga", "icinga", "nowhere"))
    run(conn, "SELECT CURRENT_USER(), DATABASE()")
    conn.change_user("icinga", "icinga", database)
    conn.set_server_option(1)
    fails(lambda: run(conn, "SELECT 1; SELECT 2"))
    conn.set_server_option(0)
    run(conn, "SELECT 1; SELECT 2")
else:
    say(conn.get_server_info(), conn.get_proto_info())

chapter("an end from the server's side")
fails(lambda: run(conn, "KILL CONNECTION_ID()"))
is_closed()

say("done")
