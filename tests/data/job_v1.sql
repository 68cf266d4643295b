INSERT INTO batch_nodes (node_id, created_time, last_updated_time, status, slots) VALUES ('old-1', {now}, {now}, 'ACTIVE', 2);
INSERT INTO batch_job_instance (job_instance_id, job_name, job_key) VALUES (1, 'scores', 'uid-old');
INSERT INTO batch_job_execution (job_execution_id, job_instance_id, create_time, start_time, status, last_updated, job_uid,
    user_name, host) VALUES (1, 1, {now}, {now}, 'STARTED', {now}, 'uid-old', 'ada', 'host');
INSERT INTO batch_step_execution (step_execution_id, step_name, job_execution_id, create_time, start_time, status,
    last_updated, mode, strategy, python, function_id, function_mac, source, max_attempts, max_result, max_log)
    VALUES (1, 'map', 1, {now}, {now}, 'STARTED', {now}, 'items', 'round_robin', '3.11', 'f', {blob}, 'def f(n): ...',
    3, 1000000, 1000000);
INSERT INTO batch_job_coordination (job_execution_id, master_step_execution_id, master_step_name, master_node_id, status,
    created_time, last_updated) VALUES (1, 1, 'map', 'kernel-1', 'STARTED', {now}, {now});
INSERT INTO batch_partitions (step_execution_id, job_execution_id, master_step_execution_id, partition_index,
    partition_key, assigned_node, status, is_transferable, attempt, claim_token, exit_code, last_updated, arguments,
    arguments_mac) VALUES (2, 1, 1, 0, 'part-0', 'old-1', 'COMPLETED', 1, 1, 7, 'COMPLETED', {now}, {blob}, {blob});
INSERT INTO batch_partitions (step_execution_id, job_execution_id, master_step_execution_id, partition_index,
    partition_key, assigned_node, status, is_transferable, attempt, claim_token, last_updated, arguments, arguments_mac)
    VALUES (3, 1, 1, 1, 'part-1', 'old-1', 'CLAIMED', 1, 1, 8, {now}, {blob}, {blob});
INSERT INTO batch_partitions (step_execution_id, job_execution_id, master_step_execution_id, partition_index,
    partition_key, status, is_transferable, last_updated, arguments, arguments_mac)
    VALUES (4, 1, 1, 2, 'part-2', 'PENDING', 1, {now}, {blob}, {blob});
INSERT INTO batch_results (step_execution_id, attempt, claim_token, size, body, errors, seconds, mac)
    VALUES (2, 1, 7, 6, {blob}, '[]', {blob}, {blob});
INSERT INTO batch_events (event_time, phase, job_execution_id, node_id) VALUES ({now}, 'RECEIVED', 1, 'kernel-1')
