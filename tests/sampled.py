"""Tests of which there are many alike: of these `make test` takes every n-th, `make test-all` the others too.

A family is a test function with its parameters; which of them are taken does not change from run to run.
"""

EVERY = {
    "test_build.py::test_a_damaged_file_is_never_loaded_but_built_anew": 3,
    "test_cases.py::test_the_gradients_of_every_operation": 2,
    "test_checkpoint.py::test_everything_comes_back_to_the_bit": 3,
    "test_commands.py::test_a_kernel_that_ends_its_process_is_a_line_and_not_the_end_of_the_command": 2,
    "test_compare.py::test_a_network_with_branches_and_a_layer_used_twice_is_keras_s": 2,
    "test_compare.py::test_an_optimizer_of_another_rule_is_found": 4,
    "test_compare.py::test_every_device_gives_keras_s_stored_answers_with_every_optimizer": 2,
    "test_compare.py::test_the_stored_answers_are_those_that_keras_gives": 2,
    "test_cpu_kernels.py::test_convolution_agrees_with_float64_sums": 3,
    "test_cpu_kernels.py::test_the_pool_reuses_only_what_nobody_holds": 3,
    "test_cudnn_benchmarks.py::test_every_operation_is_measured_and_right_before_and_after": 2,
    "test_exercises.py::test_a_mutant_is_rejected_at_its_stage": 4,
    "test_exercises.py::test_the_solution_passes": 3,
    "test_exercises.py::test_what_is_handed_out_builds_and_does_not_pass": 3,
    "test_fast.py::test_every_case_is_right": 2,
    "test_fast.py::test_forward_and_backward_of_a_convolution": 5,
    "test_fast.py::test_forward_and_backward_of_a_dense_layer_and_of_a_1x1_convolution": 3,
    "test_fast.py::test_the_check_reports_nothing": 2,
    "test_gradients.py::test_a_network_s_gradients_are_those_of_the_reference": 3,
    "test_image_outputs.py::test_a_network_that_ends_in_images_is_trained_as_one_with_flat_outputs": 3,
    "test_judge.py::test_whatever_a_submission_does_ends_in_a_stage_that_failed": 3,
    "test_keras.py::test_outputs_loss_gradients_and_statistics_are_keras_s": 5,
    "test_kernel_devices.py::test_the_cases_launch_every_kernel_of_a_file_and_the_check_reports_nothing": 3,
    "test_kernels_compile.py::test_a_kernel_file_compiles_for_every_architecture_and_spills_nothing": 3,
    "test_lab_in_a_browser.py::test_a_command_that_does_not_end_is_stopped": 3,
    "test_lab_in_a_browser.py::test_a_lesson_is_watched_beside_the_file": 3,
    "test_lab_in_a_browser.py::test_a_second_tab_overwrites_nothing_without_being_told_to": 3,
    "test_lab_in_a_browser.py::test_a_whole_session": 3,
    "test_lab_in_a_browser.py::test_everything_is_reached_and_done_by_the_keyboard": 3,
    "test_lab_in_a_browser.py::test_the_page_fits_and_axe_finds_nothing_serious": 3,
    "test_lab_in_a_browser.py::test_what_a_kernel_says_is_text_and_no_page": 3,
    "test_lab_in_a_browser.py::test_what_is_written_is_saved_before_it_is_checked": 3,
    "test_ladder.py::test_check_finds_nothing": 3,
    "test_launch_quality.py::test_sectors_and_bank_conflicts": 3,
    "test_layer_operations.py::test_softmax_and_its_gradient": 2,
    "test_layer_operations.py::test_softmax_crossentropy_gives_loss_hits_and_gradient": 2,
    "test_layer_operations.py::test_the_losses_of_any_shape_with_weights_and_running_totals": 3,
    "test_lessons.py::test_a_page_is_one_file_that_asks_for_nothing": 4,
    "test_lessons.py::test_a_picture_is_drawn_for_paper": 4,
    "test_lessons.py::test_a_question_has_different_choices_and_one_right_answer": 4,
    "test_lessons.py::test_the_same_run_gives_the_same_bytes": 4,
    "test_lessons_in_a_browser.py::test_a_page_is_ready_says_nothing_asks_for_nothing_and_fits": 5,
    "test_lessons_in_a_browser.py::test_a_page_shows_nothing_before_a_prediction_and_everything_after": 4,
    "test_lessons_in_a_browser.py::test_axe_finds_nothing_serious": 5,
    "test_lessons_in_a_browser.py::test_every_control_is_reached_and_used_by_the_keyboard": 4,
    "test_magics.py::test_a_cell_is_judged_as_its_file_is": 2,
    "test_magics.py::test_a_cell_shows_what_the_command_shows_of_its_file": 5,
    "test_magics.py::test_a_kernel_that_ends_its_process_does_not_end_the_notebook_s": 4,
    "test_magics.py::test_a_lesson_is_a_page_in_a_frame_that_may_do_nothing_outside": 2,
    "test_magics.py::test_what_cannot_be_is_one_line": 4,
    "test_magics.py::test_what_the_command_refuses_is_its_line": 3,
    "test_networks.py::test_the_gradients_of_a_documented_network": 4,
    "test_operations.py::test_results_are_identical_from_run_to_run": 3,
    "test_own_losses.py::test_a_loss_gives_keras_s_number_for_each_image": 3,
    "test_own_losses.py::test_it_trains_as_the_same_loss_of_tinycnn_s_does": 2,
    "test_own_losses.py::test_keras_takes_the_same_steps_in_a_variational_autoencoder": 2,
    "test_path.py::test_convolutions_and_all_their_gradients": 3,
    "test_peers.py::test_every_trainer_learns": 2,
    "test_planner.py::test_every_card_has_room_for_what_is_taken_of_a_layer": 4,
    "test_products.py::test_convolution_and_its_two_gradients": 3,
    "test_products.py::test_convolution_of_a_batch_larger_than_any_block": 3,
    "test_products.py::test_convolution_of_any_shape": 4,
    "test_products.py::test_dense_and_its_gradients": 3,
    "test_products.py::test_one_by_one_convolution_and_its_gradients": 3,
    "test_products.py::test_relu_and_bias_ride_in_the_convolution": 3,
    "test_products.py::test_transposed_convolution": 3,
    "test_program_faults.py::test_a_kernel_that_spins_asserts_or_crashes_is_told_and_the_program_goes_on": 2,
    "test_ranks.py::test_losses_and_penalties_are_those_of_one_process": 3,
    "test_record.py::test_the_sums_of_a_recorded_step_are_those_of_its_trace": 4,
    "test_several_inputs.py::test_it_trains_as_one_input_does": 3,
    "test_special_values.py::test_special_values_come_out_as_the_reference_has_them": 4,
    "test_whole_steps.py::test_weights_after_some_steps_are_those_of_the_general_path": 3,
    "test_winograd.py::test_all_directions_agree_with_float64": 4,
    "test_winograd.py::test_errors_are_at_most_three_times_those_of_multiplying_directly": 2,
}


def not_taken(items):
    """Those of the items that `make test` leaves to `make test-all`."""
    met = {}
    for item in items:
        family = f"{item.path.name}::{item.originalname}"
        if family in EVERY and not item.get_closest_marker("slow"):
            met[family] = met.get(family, -1) + 1
            if met[family] % EVERY[family]:
                yield item
