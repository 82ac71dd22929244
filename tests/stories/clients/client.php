<?php
// What PHP programs do with a database, through PDO and mysqli (both mysqlnd).
//
//     client.php tcp|socket ADDRESS DATABASE INFILE
//
// Prints a transcript that is the same whenever the server's answers are.
[, $way, $address, $database, $infile] = $argv;
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
ini_set('memory_limit', '1G');

function pdo(string $user = 'icinga', string $password = 'icinga', string $more = '', array $options = []): PDO
{
    global $way, $address, $database;
    [$host, $port] = $way === 'tcp' ? explode(':', $address) : ['', ''];
    $where = $way === 'tcp' ? "host=$host;port=$port" : "unix_socket=$address";
    return new PDO("mysql:$where;dbname=$database;" . ($more ?: 'charset=utf8mb4'), $user, $password, $options + [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_EMULATE_PREPARES => false,
        PDO::MYSQL_ATTR_LOCAL_INFILE => true,
    ]);
}

function mysqli_open(): mysqli
{
    global $way, $address, $database;
    $conn = mysqli_init();
    $conn->options(MYSQLI_OPT_LOCAL_INFILE, true);
    [$host, $port] = $way === 'tcp' ? explode(':', $address) : ['localhost', 0];
    $conn->real_connect($host, 'icinga', 'icinga', $database, (int)$port, $way === 'tcp' ? null : $address);
    $conn->set_charset('utf8mb4');
    return $conn;
}

function say(...$words): void
{
    echo implode(' ', array_map(fn($word) => is_string($word) ? $word : json_encode($word), $words)), "\n";
}

function chapter(string $title): void
{
    say('#', $title);
}

function show(PDOStatement $statement): void
{
    do {
        for ($i = 0; $i < $statement->columnCount(); $i++) {
            $meta = $statement->getColumnMeta($i);
            say('  column:', var_export($meta, true));
        }
        if ($statement->columnCount() > 0) {
            foreach ($statement->fetchAll(PDO::FETCH_NUM) as $row) {
                say('  row:', var_export(array_map(fn($v) => is_string($v) && strlen($v) > 300 ? md5($v) : $v, $row), true));
            }
        }
        say('  rows:', $statement->rowCount());
    } while ($statement->nextRowset());
}

function run(PDO $conn, string $sql, array $values = []): void
{
    say('>', $sql);
    $statement = $conn->prepare($sql);
    $statement->execute($values);
    show($statement);
}

function fails(callable $action): void
{
    try {
        $action();
    } catch (PDOException $error) {
        say('  error:', $error->getMessage(), var_export($error->errorInfo, true));
        return;
    } catch (mysqli_sql_exception $error) {
        say('  error:', $error->getCode(), $error->getSqlState(), $error->getMessage());
        return;
    }
    exit("this should have failed\n");
}

$conn = pdo();
say($conn->getAttribute(PDO::ATTR_SERVER_VERSION));

chapter('PDO, prepared');
$conn->exec('DROP TABLE IF EXISTS t');
$conn->exec('CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(60), amount DECIMAL(12,4), d DOUBLE,
    at DATETIME(6), data LONGBLOB, y YEAR, ti TIME(3), big BIGINT UNSIGNED) CHARACTER SET utf8mb4');
$every_byte = implode('', array_map('chr', range(0, 255)));
$insert = $conn->prepare('INSERT INTO t (name, amount, d, at, data, y, ti, big) VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
foreach (["ünïcödé 🐘 \\ ' \" \0 ;", '', null] as $name) {
    $insert->execute([$name, '12345678.9012', 0.1, '2026-02-28 23:59:59.123456', $every_byte, 2026, '-838:59:59.999', '18446744073709551615']);
    say('id', $conn->lastInsertId(), 'rows', $insert->rowCount());
}
run($conn, 'SELECT * FROM t WHERE id > ? ORDER BY id', [0]);
run($conn, 'SELECT id FROM t WHERE id > ?', [1000]);
run($conn, 'UPDATE t SET name = ?', ['x']);
run($conn, 'SELECT 1/0');
run($conn, 'SHOW WARNINGS');

chapter('PDO, text');
$emulated = pdo(options: [PDO::ATTR_EMULATE_PREPARES => true]);
run($emulated, 'SELECT ?, ?, id FROM t ORDER BY id', ['ü', null]);
run($emulated, 'SELECT 1; UPDATE t SET name = NULL WHERE id = 1; SELECT 2');
say('  exec:', $emulated->exec("INSERT INTO t (name) VALUES ('a'), ('b')"), $emulated->lastInsertId());

chapter('errors');
fails(fn() => run($conn, 'SELECT * FROM absent'));
fails(fn() => run($conn, 'SELEKT ?', [1]));
fails(fn() => run($conn, 'INSERT INTO t (id) VALUES (?)', [1]));
fails(fn() => run($emulated, 'SELECT nothing FROM t'));
fails(fn() => pdo(password: 'wrong'));
fails(fn() => pdo(user: 'absent'));

chapter('an error in the middle');
fails(fn() => run($emulated, "SELECT 1; INSERT INTO t (name) VALUES ('first'); SELECT * FROM absent; INSERT INTO t (name) VALUES ('never')"));
$emulated = null;
run($conn, "SELECT COUNT(*) FROM t WHERE name IN ('first', 'never')");

chapter('many results');
$conn->exec('DROP PROCEDURE IF EXISTS p');
$conn->exec("CREATE PROCEDURE p(IN n INT) BEGIN SELECT id FROM t WHERE id <= n ORDER BY id; UPDATE t SET amount = n; SELECT 'last' AS name; END");
run($conn, 'CALL p(?)', [2]);
run($conn, 'CALL p(?)', [3]);

chapter('a result read row by row, and left before its end');
$conn->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, false);
$statement = $conn->query("SELECT seq, REPEAT('x', 2000) FROM seq_1_to_5000");
say('  row:', $statement->fetch(PDO::FETCH_NUM)[0]);
fails(fn() => $conn->query('SELECT 1'));
$statement->closeCursor();
$conn->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, true);
run($conn, "SELECT 'after it'");

chapter('LOAD DATA LOCAL');
$conn->exec('DROP TABLE IF EXISTS loaded');
$conn->exec('CREATE TABLE loaded (id INT PRIMARY KEY, name VARCHAR(60), size INT)');
say('  rows:', $conn->exec("LOAD DATA LOCAL INFILE '$infile' INTO TABLE loaded"));
run($conn, 'SELECT * FROM loaded ORDER BY id');
fails(fn() => $conn->exec("LOAD DATA LOCAL INFILE '$infile' INTO TABLE absent"));

chapter('transactions');
$conn->beginTransaction();
run($conn, "INSERT INTO t (name) VALUES ('rolled back')");
say('  in a transaction:', $conn->inTransaction());
$conn->rollBack();
say('  in a transaction:', $conn->inTransaction());
run($conn, "SELECT COUNT(*) FROM t WHERE name = 'rolled back'");

chapter('large packets');
$data = str_repeat("\x00\x01\xfe\xffend.", 5 << 20);
say('  rows:', (function () use ($conn, $data) {
    $statement = $conn->prepare('INSERT INTO t (name, data) VALUES (?, ?)');
    $statement->execute(['40 MB', $data]);
    return $statement->rowCount();
})());
$row = $conn->query("SELECT data, LENGTH(data) FROM t WHERE name = '40 MB'")->fetch(PDO::FETCH_NUM);
say('  got', strlen($row[0]), $row[1], $row[0] === $data);
$statement = $conn->prepare("SELECT data, 'behind' FROM t WHERE name = ?");
$statement->execute(['40 MB']);
$row = $statement->fetch(PDO::FETCH_NUM);
say('  got', strlen($row[0]), $row[1], $row[0] === $data);
$row = $statement = null;

chapter('character sets');
run(pdo(more: 'charset=latin1'), "SELECT @@character_set_client, HEX(?), CONVERT(X'E9' USING latin1)", ["\xE9"]);
run(pdo(more: 'charset=gbk'), 'SELECT @@character_set_client, HEX(?)', ["\xD5\x5C"]);

chapter('mysqli: long data in pieces');
$old = mysqli_open();
$statement = $old->prepare('INSERT INTO t (name, data) VALUES (?, ?)');
$name = 'pieces';
$null = null;
$statement->bind_param('sb', $name, $null);
foreach (range(1, 5) as $piece) {
    $statement->send_long_data(1, str_repeat((string)$piece, 1 << 20));
}
$statement->execute();
say('  rows:', $statement->affected_rows, 'id', $statement->insert_id);
$statement->reset();
$statement->send_long_data(1, 'short');
$statement->execute();
say('  ', $old->query("SELECT GROUP_CONCAT(MD5(data) ORDER BY id) FROM t WHERE name = 'pieces'")->fetch_row()[0]);

chapter('mysqli: a cursor, fetched in portions');
$statement = $old->prepare('SELECT seq, ? FROM seq_1_to_1000');
$statement->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
$statement->bind_param('s', $name);
$statement->execute();
$statement->bind_result($seq, $word);
$sum = 0;
while ($statement->fetch()) {
    $sum += $seq;
}
say('  sum', $sum, $word);
$statement->execute();
$statement->fetch();
say('  first', $seq);
$statement->close();

chapter('mysqli: many results and other commands');
$old->multi_query("SELECT 1; DO 2; SELECT 'three' UNION SELECT 'four'; SELECT * FROM absent; SELECT 'never'");
fails(function () use ($old) {
    do {
        $result = $old->store_result();
        say('  ', $result ? $result->fetch_all() : $old->affected_rows);
    } while ($old->next_result());
});
$old->query("INSERT INTO t (name) VALUES ('a'), ('b'), ('c')");
say('  info:', $old->info, $old->insert_id, $old->affected_rows);
$old->query('ALTER TABLE t ADD COLUMN extra INT');
say('  info:', $old->info, $old->warning_count);
say('  stat:', explode(':', $old->stat())[0]);
say('  ping:', $old->query('DO 1'));
$old->select_db('information_schema');
say('  database:', $old->query('SELECT DATABASE()')->fetch_row());
fails(fn() => $old->select_db('absent'));
$old->autocommit(false);
say('  autocommit:', $old->query('SELECT @@autocommit')->fetch_row());
$old->query('SET @mine = 1');
$old->change_user('reader', 'reader-password', $database);
say('  changed:', $old->query('SELECT CURRENT_USER(), DATABASE(), @mine, @@autocommit')->fetch_row());
fails(fn() => $old->change_user('reader', 'wrong', $database));
say('  still:', $old->query('SELECT CURRENT_USER(), DATABASE(), @mine')->fetch_row());

say('done');
