CREATE TABLE batch_attempts (
	step_execution_id BIGINT NOT NULL, 
	attempt BIGINT NOT NULL, 
	node_id VARCHAR(200) NOT NULL, 
	claimed_time BIGINT, 
	end_time BIGINT NOT NULL, 
	outcome VARCHAR(40) NOT NULL, 
	message TEXT, 
	seconds FLOAT, 
	peak_memory BIGINT, 
	CONSTRAINT pk_batch_attempts PRIMARY KEY (step_execution_id, attempt)
);
CREATE TABLE batch_checkpoints (
	job_uid VARCHAR(64) NOT NULL, 
	step_name VARCHAR(100) NOT NULL, 
	partition_index BIGINT NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	attempt BIGINT NOT NULL, 
	body BLOB, 
	payload_id VARCHAR(64), 
	mac BLOB NOT NULL, 
	saved_time BIGINT NOT NULL, 
	CONSTRAINT pk_batch_checkpoints PRIMARY KEY (job_uid, step_name, partition_index, kind)
);
CREATE TABLE batch_cluster (
	name VARCHAR(40) NOT NULL, 
	value VARCHAR(200) NOT NULL, 
	CONSTRAINT pk_batch_cluster PRIMARY KEY (name)
);
CREATE TABLE batch_environments (
	digest VARCHAR(64) NOT NULL, 
	packages TEXT NOT NULL, 
	CONSTRAINT pk_batch_environments PRIMARY KEY (digest)
);
CREATE TABLE batch_events (
	event_id INTEGER NOT NULL, 
	event_time BIGINT NOT NULL, 
	phase VARCHAR(40) NOT NULL, 
	job_execution_id BIGINT, 
	step_execution_id BIGINT, 
	node_id VARCHAR(200), 
	term BIGINT, 
	members TEXT, 
	detail TEXT, 
	CONSTRAINT pk_batch_events PRIMARY KEY (event_id)
);
CREATE INDEX ix_batch_events_job_execution_id ON batch_events (job_execution_id);
CREATE TABLE batch_job_instance (
	job_instance_id INTEGER NOT NULL, 
	version BIGINT DEFAULT 0 NOT NULL, 
	job_name VARCHAR(100) NOT NULL, 
	job_key VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_batch_job_instance PRIMARY KEY (job_instance_id), 
	CONSTRAINT uq_batch_job_instance_job_name_job_key UNIQUE (job_name, job_key)
);
CREATE TABLE batch_logs (
	step_execution_id BIGINT NOT NULL, 
	attempt BIGINT NOT NULL, 
	body BLOB NOT NULL, 
	CONSTRAINT pk_batch_logs PRIMARY KEY (step_execution_id, attempt)
);
CREATE TABLE batch_nodes (
	node_id VARCHAR(200) NOT NULL, 
	created_time BIGINT NOT NULL, 
	last_updated_time BIGINT NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	host_identifier VARCHAR(200), 
	current_load BIGINT DEFAULT 0 NOT NULL, 
	slots INTEGER DEFAULT 0 NOT NULL, 
	pid BIGINT DEFAULT 0 NOT NULL, 
	python VARCHAR(20) DEFAULT '' NOT NULL, 
	version VARCHAR(40) DEFAULT '' NOT NULL, 
	labels TEXT DEFAULT '[]' NOT NULL, 
	watched SMALLINT DEFAULT 0 NOT NULL, 
	environment VARCHAR(64), 
	CONSTRAINT pk_batch_nodes PRIMARY KEY (node_id), 
	CONSTRAINT ck_status_batch_nodes CHECK (status IN ('ACTIVE', 'UNREACHABLE', 'DRAINING'))
);
CREATE TABLE batch_payloads (
	payload_id VARCHAR(64) NOT NULL, 
	chunk INTEGER NOT NULL, 
	body BLOB NOT NULL, 
	CONSTRAINT pk_batch_payloads PRIMARY KEY (payload_id, chunk)
);
CREATE TABLE batch_results (
	step_execution_id BIGINT NOT NULL, 
	attempt BIGINT NOT NULL, 
	claim_token BIGINT NOT NULL, 
	size BIGINT NOT NULL, 
	body BLOB, 
	payload_id VARCHAR(64), 
	errors TEXT NOT NULL, 
	seconds BLOB NOT NULL, 
	mac BLOB NOT NULL, 
	CONSTRAINT pk_batch_results PRIMARY KEY (step_execution_id)
);
CREATE TABLE batch_sequences (
	name VARCHAR(40) NOT NULL, 
	last_value BIGINT NOT NULL, 
	CONSTRAINT pk_batch_sequences PRIMARY KEY (name)
);
CREATE TABLE batch_job_execution (
	job_execution_id INTEGER NOT NULL, 
	version BIGINT DEFAULT 0 NOT NULL, 
	job_instance_id BIGINT NOT NULL, 
	create_time BIGINT NOT NULL, 
	start_time BIGINT, 
	end_time BIGINT, 
	status VARCHAR(20) NOT NULL, 
	exit_code VARCHAR(40), 
	exit_message TEXT, 
	last_updated BIGINT NOT NULL, 
	job_uid VARCHAR(64) NOT NULL, 
	run_number INTEGER DEFAULT 1 NOT NULL, 
	user_name VARCHAR(100) NOT NULL, 
	host VARCHAR(200) NOT NULL, 
	stop_requested SMALLINT DEFAULT 0 NOT NULL, 
	paused SMALLINT DEFAULT 0 NOT NULL, 
	priority INTEGER DEFAULT 0 NOT NULL, 
	max_errors BIGINT, 
	main_step VARCHAR(100) DEFAULT 'map' NOT NULL, 
	CONSTRAINT pk_batch_job_execution PRIMARY KEY (job_execution_id), 
	CONSTRAINT ck_status_batch_job_execution CHECK (status IN ('CREATED', 'STARTED', 'COMPLETED', 'FAILED', 'STOPPED')), 
	CONSTRAINT ck_stop_requested_batch_job_execution CHECK (stop_requested IN (0, 1, 2, 3)), 
	CONSTRAINT ck_paused_batch_job_execution CHECK (paused IN (0, 1)), 
	CONSTRAINT uq_batch_job_execution_job_uid_run_number UNIQUE (job_uid, run_number), 
	CONSTRAINT fk_batch_job_execution_job_instance_id FOREIGN KEY(job_instance_id) REFERENCES batch_job_instance (job_instance_id)
);
CREATE INDEX ix_batch_job_execution_job_instance_id ON batch_job_execution (job_instance_id);
CREATE INDEX ix_batch_job_execution_status ON batch_job_execution (status);
CREATE TABLE batch_job_coordination (
	job_execution_id BIGINT NOT NULL, 
	master_step_execution_id BIGINT NOT NULL, 
	master_step_name VARCHAR(100) NOT NULL, 
	master_node_id VARCHAR(200) NOT NULL, 
	term BIGINT DEFAULT 1 NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	created_time BIGINT NOT NULL, 
	last_updated BIGINT NOT NULL, 
	CONSTRAINT pk_batch_job_coordination PRIMARY KEY (job_execution_id, master_step_execution_id), 
	CONSTRAINT ck_status_batch_job_coordination CHECK (status IN ('CREATED', 'STARTED', 'COMPLETED', 'FAILED', 'STOPPED')), 
	CONSTRAINT fk_batch_job_coordination_job_execution_id FOREIGN KEY(job_execution_id) REFERENCES batch_job_execution (job_execution_id)
);
CREATE INDEX ix_batch_job_coordination_status ON batch_job_coordination (status);
CREATE TABLE batch_job_execution_params (
	job_execution_id BIGINT NOT NULL, 
	parameter_name VARCHAR(100) NOT NULL, 
	parameter_type VARCHAR(100) NOT NULL, 
	parameter_value VARCHAR(2500), 
	identifying VARCHAR(1) NOT NULL, 
	CONSTRAINT pk_batch_job_execution_params PRIMARY KEY (job_execution_id, parameter_name), 
	CONSTRAINT fk_batch_job_execution_params_job_execution_id FOREIGN KEY(job_execution_id) REFERENCES batch_job_execution (job_execution_id)
);
CREATE TABLE batch_step_execution (
	step_execution_id INTEGER NOT NULL, 
	version BIGINT DEFAULT 0 NOT NULL, 
	step_name VARCHAR(100) NOT NULL, 
	job_execution_id BIGINT NOT NULL, 
	create_time BIGINT NOT NULL, 
	start_time BIGINT, 
	end_time BIGINT, 
	status VARCHAR(20) NOT NULL, 
	exit_code VARCHAR(40), 
	exit_message TEXT, 
	last_updated BIGINT NOT NULL, 
	mode VARCHAR(20) NOT NULL, 
	strategy VARCHAR(200) NOT NULL, 
	python VARCHAR(20) NOT NULL, 
	function_id VARCHAR(64) NOT NULL, 
	function_mac BLOB NOT NULL, 
	source TEXT NOT NULL, 
	max_attempts INTEGER NOT NULL, 
	max_result BIGINT NOT NULL, 
	max_log BIGINT NOT NULL, 
	fixed_nodes TEXT, 
	fixed_count INTEGER, 
	is_transferable SMALLINT DEFAULT 1 NOT NULL, 
	position INTEGER DEFAULT 0 NOT NULL, 
	kind VARCHAR(20) DEFAULT 'PARTITIONED' NOT NULL, 
	after_steps TEXT DEFAULT '[]' NOT NULL, 
	input_of VARCHAR(100), 
	retries INTEGER DEFAULT 0 NOT NULL, 
	retry_on TEXT, 
	retry_wait FLOAT DEFAULT (1.0) NOT NULL, 
	timeout FLOAT, 
	required_labels TEXT DEFAULT '[]' NOT NULL, 
	CONSTRAINT pk_batch_step_execution PRIMARY KEY (step_execution_id), 
	CONSTRAINT ck_status_batch_step_execution CHECK (status IN ('CREATED', 'STARTED', 'COMPLETED', 'FAILED', 'STOPPED')), 
	CONSTRAINT ck_kind_batch_step_execution CHECK (kind IN ('PARTITIONED', 'LOCAL', 'AGGREGATE', 'ON_SUCCESS', 'ON_FAILURE')), 
	CONSTRAINT uq_batch_step_execution_job_execution_id_step_name UNIQUE (job_execution_id, step_name), 
	CONSTRAINT fk_batch_step_execution_job_execution_id FOREIGN KEY(job_execution_id) REFERENCES batch_job_execution (job_execution_id)
);
CREATE INDEX ix_batch_step_execution_started ON batch_step_execution (step_execution_id) WHERE status = 'STARTED';
CREATE TABLE batch_partitions (
	step_execution_id INTEGER NOT NULL, 
	job_execution_id BIGINT NOT NULL, 
	master_step_execution_id BIGINT NOT NULL, 
	partition_index BIGINT NOT NULL, 
	partition_key VARCHAR(100) NOT NULL, 
	assigned_node VARCHAR(200), 
	status VARCHAR(20) NOT NULL, 
	is_transferable SMALLINT DEFAULT 0 NOT NULL, 
	attempt BIGINT DEFAULT 0 NOT NULL, 
	claim_token BIGINT DEFAULT 0 NOT NULL, 
	crashes INTEGER DEFAULT 0 NOT NULL, 
	node_losses INTEGER DEFAULT 0 NOT NULL, 
	errors INTEGER DEFAULT 0 NOT NULL, 
	not_before BIGINT, 
	progress FLOAT, 
	progress_message VARCHAR(200), 
	has_checkpoint SMALLINT DEFAULT 0 NOT NULL, 
	item_count BIGINT DEFAULT 1 NOT NULL, 
	failed_items BIGINT DEFAULT 0 NOT NULL, 
	claimed_time BIGINT, 
	start_time BIGINT, 
	end_time BIGINT, 
	seconds FLOAT, 
	exit_code VARCHAR(40), 
	exit_message TEXT, 
	last_updated BIGINT NOT NULL, 
	arguments BLOB, 
	arguments_mac BLOB NOT NULL, 
	arguments_payload VARCHAR(64), 
	result_of BIGINT, 
	CONSTRAINT pk_batch_partitions PRIMARY KEY (step_execution_id), 
	CONSTRAINT ck_status_batch_partitions CHECK (status IN ('PENDING', 'CLAIMED', 'COMPLETED', 'FAILED')), 
	CONSTRAINT ck_exit_code_batch_partitions CHECK (exit_code IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT', 'NODE_LOST', 'CRASHED', 'POISON', 'UNSERIALIZABLE', 'RESULT_TOO_LARGE', 'BAD_SIGNATURE')), 
	CONSTRAINT ck_is_transferable_batch_partitions CHECK (is_transferable IN (0, 1)), 
	CONSTRAINT uq_batch_partitions_master_step_execution_id_partition_index UNIQUE (master_step_execution_id, partition_index), 
	CONSTRAINT uq_batch_partitions_master_step_execution_id_partition_key UNIQUE (master_step_execution_id, partition_key), 
	CONSTRAINT fk_batch_partitions_job_execution_id FOREIGN KEY(job_execution_id) REFERENCES batch_job_execution (job_execution_id), 
	CONSTRAINT fk_batch_partitions_master_step_execution_id FOREIGN KEY(master_step_execution_id) REFERENCES batch_step_execution (step_execution_id)
);
CREATE INDEX ix_batch_partitions_claimed ON batch_partitions (assigned_node) WHERE status = 'CLAIMED';
CREATE INDEX ix_batch_partitions_pending ON batch_partitions (master_step_execution_id, assigned_node, partition_index) WHERE status = 'PENDING';
INSERT INTO batch_cluster (name, value) VALUES ('schema_version', '3');
INSERT INTO batch_cluster (name, value) VALUES ('cluster_id', '0123456789abcdef0123456789abcdef');
INSERT INTO batch_sequences (name, last_value) VALUES ('step_execution', 0);
